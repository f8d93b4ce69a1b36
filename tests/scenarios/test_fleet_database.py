"""The database of a fleet's queue is reached as that of the ledger: its faults, its rights."""

from pathlib import Path

import pytest

from tests.support.batches import make_batch
from tests.support.endpoint import Endpoint
from tests.support.fleets import make_fleet
from tests.support.postgres import PostgresServer
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


def test_a_role_that_only_reads_sees_the_state_of_a_fleet_also_of_lanes_without_items(
    command: Preloaded, postgres: PostgresServer, tmp_path: Path
) -> None:
    fleet = make_fleet(tmp_path, accounts=2, items=1)
    text = fleet.path.read_text(encoding="utf-8")
    fleet.path.write_text("\n".join(line for line in text.split("\n") if "target: t001" not in line), encoding="utf-8")
    url = postgres.new_database("fleet_reader")
    migrated = command.run("ledger", "migrate", url, cwd=tmp_path)
    for statement in (
        "CREATE ROLE fleet_reader LOGIN",
        "ALTER ROLE fleet_reader SET default_transaction_read_only = on",
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO fleet_reader",
    ):
        postgres.execute(statement, "fleet_reader")
    env = {"BATCH_UPLOAD_LEDGER": postgres.url("fleet_reader", "fleet_reader")}

    of_all = command.run("fleet", "status", fleet.path, cwd=tmp_path, env=env)
    of_none = command.run("fleet", "status", fleet.path, "--target", "t001", cwd=tmp_path, env=env)
    schedules = command.run("fleet", "schedule", cwd=tmp_path, env=env)

    assert migrated.code == 0, migrated.stderr
    assert (of_all.code, "t000/us-east-1: no job" in of_all.stdout) == (0, True), of_all.stderr
    assert of_none.code == 0, of_none.stderr
    assert (schedules.code, schedules.stdout) == (0, "no schedule\n"), schedules.stderr
