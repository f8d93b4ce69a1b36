"""Every line of every verb is what `docs/events.schema.json` says, and everything it declares is told.

`Result.events` holds each line against the schema, here and in every other test.
"""

import signal
from collections import defaultdict
from pathlib import Path

import pytest

from batch_upload.operations import CREATE, LIMITS
from tests.support.batches import IDENTITY_TAG, TAGS, Batch, make_batch, pdf, token_of
from tests.support.command import Result, started
from tests.support.emulator_process import EmulatorProcess
from tests.support.endpoint import Endpoint
from tests.support.event_schema import shape_of, shapes
from tests.support.fleets import make_fleet
from tests.support.postgres import PostgresServer
from tests.support.preloaded import Preloaded

EVERY_VERB = frozenset({"every verb", "every verb that reads a manifest"})


def _told_by_verb(results: list[Result]) -> dict[str, set[str]]:
    """The shapes that were told, and by which verbs."""
    told: defaultdict[str, set[str]] = defaultdict(set)
    for each in results:
        lines = each.events
        assert [line["event"] for line in lines].count("summary") == 1
        assert lines[-1]["event"] == "summary"
        for line in lines:
            told[shape_of(line)].add(lines[-1]["verb"])
    return told


@pytest.fixture
def results(
    endpoint: Endpoint,
    emulator_process: EmulatorProcess,
    command: Preloaded,
    postgres: PostgresServer,
    tmp_path: Path,
) -> list[Result]:
    """A batch's whole life, with everything that can come in between."""
    batch = make_batch(tmp_path, 4)
    env = endpoint.env

    def run(verb: str, *flags: str) -> Result:
        return command.run(verb, batch.manifest, *flags, "--json", cwd=tmp_path, env=env)

    endpoint.change(limits_used=1_900)
    told = [
        *_made(command, tmp_path),
        run("doctor"),
        _invalid(command, tmp_path),
        _warned(command, tmp_path),
        run("validate"),
        run("plan"),
        _schema(command, tmp_path),
        command.run("manifest", "forms", "--json", cwd=tmp_path),
        _discovered(command, endpoint, tmp_path),
    ]
    endpoint.change(deny=[LIMITS], attachments_per_account=2, limits_used=None)
    endpoint.faults({"action": "internal_error", "operation": CREATE, "times": 1})
    told.append(run("upload", "--rate", "100"))
    endpoint.change(deny=[], attachments_per_account=None)
    endpoint.faults({"action": "drop_after", "operation": CREATE, "times": 1})
    told.append(run("upload", "--rate", "100", "--safe-horizon", "100ms"))
    endpoint.faults()
    _change_and_double(batch, endpoint)
    told.append(run("upload", "--rate", "100", "--safe-horizon", "100ms"))
    told += [run("status"), command.run("why", batch.manifest, batch.ids[0], "--json", cwd=tmp_path)]
    told += _bound(command, endpoint, emulator_process, tmp_path)
    told += [run("verify"), run("reconcile"), run("report", "-o", "june.csv"), run("prune", "--yes")]
    shared = {**env, "BATCH_UPLOAD_LEDGER": postgres.new_database("events")}
    told += [
        command.run(verb, batch.manifest, *rest, "--json", cwd=tmp_path, env=shared)
        for verb, *rest in (("upload", "--rate", "100", "--safe-horizon", "100ms"), ("status",), ("why", batch.ids[0]))
    ]
    told += _fleet(command, endpoint, postgres.new_database("events_of_a_fleet"), tmp_path)
    return [*told, _lanes(command, tmp_path), _emulator(tmp_path)]


def _change_and_double(batch: Batch, endpoint: Endpoint) -> None:
    """Another document in the place of the first, and a second attachment with the token of another."""
    first, second = batch.ids[:2]
    (batch.folder / first).write_bytes(batch.documents[first] + b"changed\n")
    endpoint.plant({**TAGS, IDENTITY_TAG: token_of(second, batch.documents[second])})


def _bound(command: Preloaded, endpoint: Endpoint, process: EmulatorProcess, folder: Path) -> list[Result]:
    """A document that is put into a field of a registration, which is denied then."""
    given = {"account": endpoint.account, "region": "us-east-1", "registration_id": "registration-events"}
    planted = process.plant_registration("US_TOLL_FREE_REGISTRATION", **given)
    (folder / "opt-in.pdf").write_bytes(pdf("opt-in"))
    bind = "{registration: registration-events, field: messagingUseCase.optInImage}"
    entry = f"  - {{file: opt-in.pdf, id: opt-in, bind: {bind}}}"
    (folder / "bound.yaml").write_text(f"version: 1\nbatch: bound\ndefaults: {{check: bytes}}\nattachments:\n{entry}\n")

    def run(verb: str, *flags: str) -> Result:
        return command.run(verb, "bound.yaml", *flags, "--json", cwd=folder, env=endpoint.env)

    told = [run("upload", "--rate", "100")]
    process.deny_registration(planted["arn"], {"messagingUseCase.optInImage": {"reason": "UNREADABLE"}})
    return [*told, run("upload"), run("status"), run("why", "opt-in"), run("verify")]


def _invalid(command: Preloaded, folder: Path) -> Result:
    (folder / "wrong.yaml").write_text("version: 1\nbatch: x\nattachments: []\n")
    return command.run("validate", "wrong.yaml", "--json", cwd=folder)


def _warned(command: Preloaded, folder: Path) -> Result:
    for name in ("spare.pdf", "young.pdf"):
        (folder / name).write_bytes(pdf(name))
    entries = "  - file: spare.pdf\n  - file: ./spare.pdf\n  - {glob: young*.pdf, min_age: 1h}\n"
    (folder / "twice.yaml").write_text(f"version: 1\nbatch: x\nattachments:\n{entries}")
    return command.run("validate", "twice.yaml", "--json", cwd=folder)


def _made(command: Preloaded, folder: Path) -> list[Result]:
    """A manifest of a folder in which not everything is a document."""
    (folder / "files" / "notes.txt").write_text("not a document")
    return [command.run("manifest", "new", "files", "--output", "made.yaml", "--json", cwd=folder)]


def _schema(command: Preloaded, folder: Path) -> Result:
    return command.run("manifest", "schema", "--json", cwd=folder)


def _discovered(command: Preloaded, endpoint: Endpoint, folder: Path) -> Result:
    endpoint.change(organization={"accounts": [{"id": "111122223333", "name": "Acme"}]})
    asked = ("targets", "discover", "--role", "uploader", "-o", "accounts.yaml", "--json")
    return command.run(*asked, cwd=folder, env=endpoint.env)


def _lanes(command: Preloaded, folder: Path) -> Result:
    """Two lanes of one account, uploaded side by side."""
    fleet = make_fleet(folder / "fleet", accounts=1, items=2)
    return command.run("upload", fleet.path, "--local", "--json", cwd=fleet.folder)


def _fleet(command: Preloaded, endpoint: Endpoint, url: str, folder: Path) -> list[Result]:
    """Two lanes in the queue, a worker that ends them, and a schedule."""
    fleet = make_fleet(folder / "shared", accounts=1, items=1)
    env = {**endpoint.env, "BATCH_UPLOAD_LEDGER": url}

    def run(verb: str, *words: str) -> Result:
        return command.run("fleet", verb, fleet.path, *words, "--json", cwd=fleet.folder, env=env)

    told = [run("upload", "--no-wait"), run("schedule", "0 3 * * *")]
    with command.started("fleet", "worker", "--json", "--dead-after", "1s", cwd=fleet.folder, env=env) as worker:
        worker.until("lane_ended")
        told.append(run("status"))
        worker.signal(signal.SIGTERM)
        return [*told, worker.finish()]


def _emulator(folder: Path) -> Result:
    with started("emulator", "--json", cwd=folder) as running:
        running.until("listening")
        running.signal(signal.SIGTERM)
        return running.finish()


def test_whatever_a_verb_tells_is_declared_and_whatever_is_declared_is_told(results: list[Result]) -> None:
    told = _told_by_verb(results)

    assert sorted(told) == sorted(shapes())
    for name, verbs in told.items():
        declared = set(shapes()[name]["x-verbs"])
        assert verbs <= declared or not EVERY_VERB.isdisjoint(declared), name


def test_every_line_about_one_lane_of_several_says_which_and_progress_and_the_summary_are_of_all(
    command: Preloaded, tmp_path: Path
) -> None:
    fleet = make_fleet(tmp_path / "fleet", accounts=2, items=2)

    *lines, summary = command.run("upload", fleet.path, "--local", "--json", cwd=fleet.folder).events

    of_all = [line for line in lines if "target" not in line]
    assert {line["event"] for line in of_all} <= {"progress", "notice"}
    assert {line["target"] for line in lines if "target" in line} == set(fleet.labels)
    assert {fleet.lane(line["target"]) for line in lines if "target" in line} == {
        f"{line['account']}/{line['region']}" for line in lines if "target" in line
    }
    assert sorted(line["target"] for line in lines if line["event"] == "lane_ended") == sorted(fleet.labels)
    assert sum(lane["items"] for lane in summary["lanes"]) == summary["items"] == 8
