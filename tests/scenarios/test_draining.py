"""A signal ends every verb in order: what is in flight ends and is recorded, monitors hear the end, a rerun goes on."""

import signal
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from batch_upload.engine.run import DRAIN_S
from batch_upload.operations import DELETE, DESCRIBE, LIMITS, LIST_TAGS
from tests.support.batches import Batch, assert_adds_up, assert_each_once, make_batch, write_batch
from tests.support.clocks import Clocks
from tests.support.command import COMMAND, run
from tests.support.endpoint import Endpoint
from tests.support.monitor import monitor
from tests.support.preloaded import Preloaded
from tests.support.strace import signalled_at

ENDINGS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)]
IDS = ["INT", "TERM", "HUP"]


def uploaded(command: Preloaded, endpoint: Endpoint, folder: Path, count: int) -> Batch:
    batch = make_batch(folder, count)
    done = command.run("upload", batch.path, "--rate", "100", "--quiet", cwd=folder, env=endpoint.env)
    assert done.code == 0, done.stderr
    return batch


def last_run(batch: Batch) -> tuple[str, int | None]:
    """The verb and the exit code of the last run on record."""
    with closing(sqlite3.connect(batch.ledger)) as ledger:
        found: tuple[str, int | None] = ledger.execute(
            "SELECT verb, exit_code FROM run ORDER BY began_at DESC LIMIT 1"
        ).fetchone()
        return found


def standing(endpoint: Endpoint) -> int:
    return sum(each["status"] != "DELETED" for each in endpoint.attachments())


@pytest.mark.parametrize(("number", "code"), ENDINGS, ids=IDS)
def test_prune_lets_the_deletes_in_flight_end_and_the_next_run_deletes_the_rest(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded, number: signal.Signals, code: int
) -> None:
    whole = uploaded(command, endpoint, tmp_path, 12)
    batch = write_batch(tmp_path, dict(list(whole.documents.items())[:1]))
    endpoint.faults({"action": "slow", "operation": DELETE, "seconds": 0.5})

    with command.started(
        "prune", batch.path, "--yes", "--max-deletes", "11", "--json", cwd=tmp_path, env=endpoint.env
    ) as running:
        endpoint.wait_for(DELETE)
        running.signal(number)
        ended = running.finish()
    endpoint.faults()
    deleted = sum(each["status"] == "DELETED" for each in endpoint.attachments())
    recorded = last_run(batch)
    asked = endpoint.stats().requests[DELETE]
    again = command.run("prune", batch.path, "--yes", "--max-deletes", "11", "--json", cwd=tmp_path, env=endpoint.env)

    assert ended.code == code, ended.stderr
    assert assert_adds_up(ended)["states"] == {"complete": 1}
    assert [line["outcome"] for line in ended.of("pruned")] == ["deleted"] * deleted
    assert 1 <= deleted == asked < 11
    assert f"{11 - deleted} left for the next run" in ended.stderr
    assert recorded == ("prune", code)
    assert again.code == 0, again.stderr
    assert len(again.of("pruned")) == 11 - deleted
    assert standing(endpoint) == 1


def test_prune_cuts_off_a_delete_that_is_not_answered_and_the_next_run_asks_again(
    endpoint: Endpoint, tmp_path: Path, timed: tuple[Preloaded, Clocks]
) -> None:
    command, clocks = timed
    whole = uploaded(command, endpoint, tmp_path, 2)
    batch = write_batch(tmp_path, dict(list(whole.documents.items())[:1]))
    endpoint.faults({"action": "hang", "operation": DELETE, "done": True})

    with command.started("prune", batch.path, "--yes", "--json", cwd=tmp_path, env=endpoint.env) as running:
        endpoint.wait_for(DELETE)
        running.signal(signal.SIGTERM)
        running.until("lane_stopped")
        clocks.pass_time(DRAIN_S)
        ended = running.finish()
    endpoint.faults()
    again = command.run("prune", batch.path, "--yes", "--json", cwd=tmp_path, env=endpoint.env)

    assert ended.code == 143, ended.stderr
    assert ended.of("pruned") == []
    assert ended.summary["elapsed_s"] < 30
    assert (again.code, [line["outcome"] for line in again.of("pruned")]) == (0, ["gone"])
    assert standing(endpoint) == 1


@pytest.mark.parametrize(("number", "code"), ENDINGS[:1], ids=IDS[:1])
def test_reconcile_keeps_the_tags_it_has_read_and_the_next_run_reads_the_rest(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded, number: signal.Signals, code: int
) -> None:
    batch = uploaded(command, endpoint, tmp_path, 12)
    batch.ledger.unlink()
    before = endpoint.stats().requests[LIST_TAGS]
    endpoint.faults({"action": "slow", "operation": LIST_TAGS, "seconds": 0.5})

    with command.started("reconcile", batch.path, "--json", cwd=tmp_path, env=endpoint.env) as running:
        endpoint.wait_for(LIST_TAGS)
        running.signal(number)
        ended = running.finish()
    endpoint.faults()
    recorded = last_run(batch)
    again = command.run("reconcile", batch.path, "--json", cwd=tmp_path, env=endpoint.env)
    upload = command.run("upload", batch.path, "--json", cwd=tmp_path, env=endpoint.env)

    assert ended.code == code, ended.stderr
    assert assert_adds_up(ended)["items"] == 12
    assert recorded == ("reconcile", code)
    assert (again.code, again.states) == (0, {"complete": 12})
    assert endpoint.stats().requests[LIST_TAGS] - before == 12  # no tag was read twice
    assert (upload.code, upload.summary["uploaded"]) == (0, 0)
    assert_each_once(endpoint, batch)


@pytest.mark.parametrize(("number", "code"), ENDINGS, ids=IDS)
@pytest.mark.parametrize("verb", ["plan", "doctor"])
def test_a_verb_that_only_reads_ends_at_once_with_a_summary(
    endpoint: Endpoint, tmp_path: Path, verb: str, number: signal.Signals, code: int, command: Preloaded
) -> None:
    endpoint.faults({"action": "hang", "operation": LIMITS})
    batch = make_batch(tmp_path, 1)

    with command.started(verb, batch.path, "--json", cwd=tmp_path, env=endpoint.env) as running:
        endpoint.wait_for(LIMITS)
        running.signal(number)
        ended = running.finish()

    assert ended.code == code, ended.stderr
    assert ended.summary["exit"]["code"] == code


@pytest.mark.parametrize(("number", "code"), ENDINGS[1:], ids=IDS[1:])
def test_the_monitor_of_verify_hears_that_a_signal_ended_it(
    endpoint: Endpoint, tmp_path: Path, number: signal.Signals, code: int, command: Preloaded
) -> None:
    endpoint.faults({"action": "hang", "operation": DESCRIBE})
    batch = make_batch(tmp_path, 1)

    with (
        monitor() as heard,
        command.started(
            "verify", batch.path, "--json", "--notify", heard.url, cwd=tmp_path, env=endpoint.env
        ) as running,
    ):
        endpoint.wait_for(DESCRIBE)
        running.signal(number)
        ended = running.finish()

    assert ended.code == code, ended.stderr
    assert ended.summary["exit"]["code"] == code
    assert [path.rpartition("/")[2] for path in heard.paths] == ["start", "log"]  # neither done nor failed


@pytest.mark.parametrize(
    ("verb", "number", "code"),
    [*(("upload", *ending) for ending in ENDINGS), ("reconcile", *ENDINGS[1]), ("prune", *ENDINGS[1])],
    ids=[*(f"upload-{name}" for name in IDS), "reconcile-TERM", "prune-TERM"],
)
def test_a_signal_while_files_are_read_ends_a_run_in_order_and_on_record(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded, verb: str, number: signal.Signals, code: int
) -> None:
    batch = uploaded(command, endpoint, tmp_path, 3)
    write_batch(tmp_path, {name: content + b"% another day\n" for name, content in batch.documents.items()})
    before = endpoint.stats().requests.total()

    with monitor() as heard:
        ended = run(
            *(verb, "june.yaml", "--json", "--notify", heard.url),
            cwd=tmp_path,
            env=endpoint.env,
            command=(*signalled_at(tmp_path / batch.ids[1], number), COMMAND),
        )
    recorded = last_run(batch)
    status = command.run("status", batch.path, cwd=tmp_path)

    said = f"stopped by {number.name} while reading `june.yaml` and its files; nothing was sent"
    assert (ended.code, ended.stderr) == (code, f"{verb}: {said}\n")
    assert (ended.summary["exit"]["code"], ended.summary["exit"]["reason"]) == (code, said)
    assert endpoint.stats().requests.total() == before
    assert recorded == (verb, code)
    assert f", exit {code} ({said})" in status.stdout
    assert [path.rpartition("/")[2] for path in heard.paths] == ["start", "log"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "june.yaml"),
        ("verify", "june.yaml"),
        ("validate", "june.yaml"),
        ("report", "june.yaml", "-o", "done.csv"),
        ("manifest", "new", "files", "-o", "new.yaml"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_signal_while_files_are_read_ends_every_verb_with_a_sentence(
    endpoint: Endpoint, tmp_path: Path, arguments: Sequence[str]
) -> None:
    batch = make_batch(tmp_path, 3)
    before = sorted(tmp_path.iterdir())

    through = signalled_at(tmp_path / batch.ids[1], signal.SIGTERM)
    ended = run(*arguments, "--json", cwd=tmp_path, env=endpoint.env, command=[*through, COMMAND])

    assert ended.code == 143, ended.stderr
    assert ended.summary["exit"]["code"] == 143
    assert ended.stderr.splitlines()[-1].startswith(f"{ended.summary['verb']}: stopped by SIGTERM")
    assert "Traceback" not in ended.stderr
    assert sorted(tmp_path.iterdir()) == before
