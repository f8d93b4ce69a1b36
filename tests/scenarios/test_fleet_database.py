"""The database of a fleet's queue is reached as that of the ledger: its faults, its rights."""

from pathlib import Path

import pytest

from tests.support.batches import make_batch
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("postgresql://127.0.0.1:1/x", 10, "its server does not answer (Connection refused)"),
        ("postgresql://db.internal/x?sslmode=prefer", 24, "`sslmode=prefer` is too weak"),
        ("postgresql://ann@db.invalid/x", 24, "its host is not known"),
    ],
)
def test_a_database_that_cannot_be_used_ends_a_verb_of_the_fleet_as_it_ends_a_run(
    command: Preloaded, endpoint: Endpoint, url: str, code: int, says: str, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 1)
    ended = command.run("fleet", "status", batch.manifest, "--ledger", url, cwd=tmp_path, env=endpoint.env)
    assert ended.code == code, ended.stderr
    assert says in ended.stderr
