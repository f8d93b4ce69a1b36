"""The database of a fleet's queue is reached as that of the ledger: its faults, its rights."""

import signal
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import psycopg
import pytest

from tests.support.batches import make_batch
from tests.support.emulator_process import running_emulator
from tests.support.endpoint import Endpoint
from tests.support.fleets import make_fleet
from tests.support.pgbouncer import running_pgbouncer
from tests.support.postgres import PostgresServer, running_postgres
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


@pytest.mark.parametrize("is_pooled", [False, True], ids=["direct", "pooled"])
def test_a_worker_whose_queue_is_locked_ends_soon_after_sigterm(
    command: Preloaded, postgres: PostgresServer, endpoint: Endpoint, tmp_path: Path, *, is_pooled: bool
) -> None:
    database = f"fleet_locked_{is_pooled}"
    url = postgres.new_database(database)
    with ExitStack() as stack:
        if is_pooled:
            url = stack.enter_context(running_pgbouncer(postgres)).url(database)
        words = "fleet", "worker", "--no-listen", "--ledger", url
        worker = stack.enter_context(command.started(*words, cwd=tmp_path, env=endpoint.env))
        postgres.wait_until("SELECT to_regclass('fleet_worker') IS NOT NULL", database)
        postgres.wait_until("SELECT count(*) > 0 FROM fleet_worker", database)
        with psycopg.connect(postgres.url(database)) as locker:
            locker.execute("LOCK TABLE procrastinate_jobs IN ACCESS EXCLUSIVE MODE")
            postgres.wait_until("SELECT count(*) > 0 FROM pg_locks WHERE NOT granted", database)
            began = monotonic()
            worker.signal(signal.SIGTERM)
            ended = worker.finish(timeout_s=60)
            took_s = monotonic() - began

    assert ended.code == 143, ended.stderr
    assert took_s < 30


def test_a_worker_whose_database_stays_away_ends_soon_after_sigterm(command: Preloaded, tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path / "fleet", accounts=2, items=3)
    caller = {"AWS_ACCESS_KEY_ID": "999988887777", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
    with running_postgres() as server, running_emulator({"rates": {"*": None}}) as emulator:
        url = server.new_database("fleet")
        env = {**caller, "AWS_ENDPOINT_URL": emulator.url, "BATCH_UPLOAD_LEDGER": url}
        queued = command.run("fleet", "upload", fleet.path, "--no-wait", "--rate", "0.1", cwd=tmp_path, env=env)
        with command.started("fleet", "worker", cwd=tmp_path, env=env) as worker:
            server.wait_until("SELECT count(*) > 0 FROM lane WHERE lease_until IS NOT NULL", "fleet")
            server.crash()
            began = monotonic()
            worker.signal(signal.SIGTERM)
            ended = worker.finish(timeout_s=120)
            took_s = monotonic() - began

    assert queued.code == 0, queued.stderr
    assert ended.code == 10, ended.stderr
    assert took_s < 50


def test_a_job_of_another_version_is_shown_and_left_to_a_worker_of_that_version(
    command: Preloaded, postgres: PostgresServer, endpoint: Endpoint, tmp_path: Path
) -> None:
    fleet = make_fleet(tmp_path, accounts=1, items=1, regions=("us-east-1",))
    env = {**endpoint.env, "BATCH_UPLOAD_LEDGER": postgres.new_database("fleet_version")}
    queued = command.run("fleet", "upload", fleet.path, "--no-wait", cwd=tmp_path, env=env)
    change = (
        """UPDATE procrastinate_jobs SET args = jsonb_set(args, '{task}', args->'task' || '{"version": 7, "new": 1}')"""
    )
    postgres.execute(change, "fleet_version")

    with command.started("fleet", "worker", "--json", "--dead-after", "3s", cwd=tmp_path, env=env) as worker:
        postgres.wait_until(
            "SELECT count(*) > 0 FROM procrastinate_jobs WHERE queue_name = 'batch-upload/7'", "fleet_version"
        )
        postgres.wait_until("SELECT count(*) > 0 FROM fleet_worker", "fleet_version")
        shown = command.run("fleet", "status", fleet.path, "--json", cwd=tmp_path, env=env)
        worker.signal(signal.SIGTERM)
        ended = worker.finish()
    told = command.run("fleet", "status", fleet.path, cwd=tmp_path, env=env)

    [lane] = shown.of("fleet_lane")
    assert (queued.code, shown.code, told.code, ended.code) == (0, 0, 0, 143), shown.stderr
    assert (lane["job"], lane["attempts"]) == ("todo", 1)
    assert lane["reason"] == "of another version of the program: its task is of version 7, not 1"
    assert lane["reason"] in told.stdout
    assert "left to workers that know version 7 of tasks" in ended.stderr


def test_bad_rows_of_schedules_are_passed_over_said_once_and_shown_while_the_good_one_is_carried_out(
    command: Preloaded, postgres: PostgresServer, endpoint: Endpoint, tmp_path: Path
) -> None:
    fleet = make_fleet(tmp_path, accounts=1, items=1, regions=("us-east-1",))
    env = {**endpoint.env, "BATCH_UPLOAD_LEDGER": postgres.new_database("fleet_schedules")}
    kept = command.run("fleet", "schedule", fleet.path, "0 3 * * *", cwd=tmp_path, env=env)
    for manifest, cron, options, next_at in (
        ("/a-no-cron", "at noon", "{}", "2026-01-01Z"),
        ("/b-options", "@daily", "[1]", "2026-01-01Z"),
        ("/c-state", "@daily", '{"only_states": ["x"]}', "2026-01-01Z"),
        ("/d-limit", "@daily", '{"max_failures": 7}', "2026-01-01Z"),
        ("/e-never", "@daily", "{}", "infinity"),
        ("/f-rate", "@daily", '{"rate": {"a": 1}}', "2026-01-01Z"),
    ):
        with psycopg.connect(postgres.url("fleet_schedules")) as connection:
            add = "INSERT INTO fleet_schedule (manifest, cron, options, next_at) VALUES (%s, %s, %s, %s)"
            connection.execute(add, [manifest, cron, options, next_at])
    postgres.execute("UPDATE fleet_schedule SET next_at = now() WHERE cron = '0 3 * * *'", "fleet_schedules")

    with command.started("fleet", "worker", "--dead-after", "2s", cwd=tmp_path, env=env) as worker:
        postgres.wait_until(
            "SELECT last_words IS NOT NULL FROM fleet_schedule WHERE cron = '0 3 * * *'", "fleet_schedules"
        )
        postgres.wait_until("SELECT count(*) > 0 FROM procrastinate_jobs", "fleet_schedules")
        worker.signal(signal.SIGTERM)
        ended = worker.finish()
    shown = command.run("fleet", "schedule", "--json", cwd=tmp_path, env=env)
    postgres.execute("UPDATE fleet_schedule SET cron = 'x' WHERE cron = '0 3 * * *'", "fleet_schedules")
    status = command.run("fleet", "status", fleet.path, cwd=tmp_path, env=env)

    problems = {line["manifest"]: line["problem"] for line in shown.of("schedule")}
    assert (kept.code, ended.code, shown.code, status.code) == (0, 143, 0, 0), ended.stderr
    assert problems["/a-no-cron"] == "`at noon` is no time of a crontab: it has not five columns"
    assert all(
        problems[each].startswith("its options cannot be read") for each in ("/b-options", "/c-state", "/d-limit")
    )
    assert problems[str(fleet.path)] is None
    assert ended.stderr.count("the schedule of `/a-no-cron` is passed over") == 1
    assert "its schedule is passed over: `x` is no time of a crontab" in status.stdout


@pytest.mark.parametrize(
    "address",
    ["garbage", "", "tcp://", "tcp://host", "tcp://host:x", "tcp://:8786", "http://host:1", "tls://host:99999999"],
)
def test_what_is_no_address_of_a_dask_scheduler_is_refused_with_what_to_write(
    command: Preloaded, address: str, tmp_path: Path
) -> None:
    fleet = make_fleet(tmp_path, accounts=1, items=1)
    url = "postgresql://127.0.0.1:1/x"
    ended = command.run("fleet", "upload", fleet.path, "--ledger", url, "--dask", address, cwd=tmp_path)

    assert ended.code == 2, ended.stderr
    assert f"`--dask {address}` is no address of a scheduler" in ended.stderr
    assert "such as `--dask tcp://scheduler:8786`" in ended.stderr
