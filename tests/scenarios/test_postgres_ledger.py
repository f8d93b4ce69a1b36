"""A ledger in a PostgreSQL database: each verb as with a file, and no file beside the manifest."""

import os
from pathlib import Path

import pytest

from tests.support.batches import make_batch
from tests.support.endpoint import Endpoint
from tests.support.postgres import PostgresServer
from tests.support.preloaded import Preloaded


@pytest.fixture
def url(postgres: PostgresServer, request: pytest.FixtureRequest) -> str:
    return postgres.new_database(request.node.name[:60])


def test_an_upload_is_recorded_in_the_database_and_not_repeated(
    command: Preloaded, endpoint: Endpoint, url: str, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 3)
    env = {**endpoint.env, "BATCH_UPLOAD_LEDGER": url}

    first = command.run("upload", batch.manifest, "--rate", "100", "--json", cwd=tmp_path, env=env)
    again = command.run("upload", batch.manifest, "--rate", "100", "--json", cwd=tmp_path, env=env)
    status = command.run("status", batch.manifest, "--json", cwd=tmp_path, env=env)
    report = command.run("report", batch.manifest, "--format", "csv", cwd=tmp_path, env=env)
    why = command.run("why", batch.manifest, batch.ids[0], cwd=tmp_path, env=env)

    assert (first.code, first.summary["uploaded"]) == (0, 3), first.stderr
    assert (again.code, again.summary["uploaded"], again.summary["unchanged"]) == (0, 0, 3), again.stderr
    assert (status.code, status.states) == (0, {"complete": 3}), status.stderr
    assert (report.code, len(report.stdout.splitlines())) == (0, 4), report.stderr
    assert why.code == 0, why.stderr
    assert len(endpoint.attachments()) == 3
    assert sorted(os.listdir(tmp_path)) == ["cache", "files", "june.yaml"]


def test_a_server_that_is_not_there_is_said_with_its_address(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 1)

    ended = command.run(
        "upload", batch.manifest, "--ledger", "postgresql://127.0.0.1:1/x", cwd=tmp_path, env=endpoint.env
    )

    assert ended.code == 24
    assert "`postgresql://127.0.0.1:1/x` cannot be reached" in ended.stderr
    assert endpoint.attachments() == []
