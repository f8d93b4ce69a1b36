"""`status`, `why` and `report` with a ledger in place of the manifest."""

import csv
import io
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_upload.operations import CREATE
from tests.crash.make_ledgers import ACCOUNTS, KEPT
from tests.support import command as installed
from tests.support.batches import Batch, assert_adds_up, make_batch, pdf, write_batch
from tests.support.command import Result
from tests.support.emulator_process import EmulatorProcess, running_emulator
from tests.support.endpoint import Endpoint
from tests.support.fleets import Fleet, make_fleet
from tests.support.preloaded import Preloaded

KEYS = {"AWS_ACCESS_KEY_ID": "999988887777", "AWS_SECRET_ACCESS_KEY": "secret"}
UNREAD = "the manifest was not read: items that no run has recorded are not known"
OTHER_VERBS = ("upload", "plan", "validate", "verify", "reconcile", "prune", "watch", "doctor")
Row = dict[str, str]


def upload(command: Preloaded, batch: Batch, endpoint: Endpoint) -> None:
    ended = command.run("upload", batch.manifest, "--rate", "100", cwd=batch.folder, env=endpoint.env)
    assert ended.code == 0, ended.stderr


@pytest.fixture
def uploaded(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> Batch:
    batch = make_batch(tmp_path, 3)
    upload(command, batch, endpoint)
    return batch


@pytest.fixture
def two_batches(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> Path:
    """A ledger that two manifests share; one id is in both."""
    for name, ids in (("june", ("a.pdf", "b.pdf")), ("july", ("a.pdf",))):
        batch = write_batch(tmp_path / name, {each: pdf(f"{name} {each}") for each in ids}, extra="ledger: ../x.ledger")
        text = batch.path.read_text().replace("batch: acme-2026", f"batch: {name}")
        batch.path.write_text(text)
        upload(command, batch, endpoint)
    return tmp_path / "x.ledger"


def rows_of(ended: Result) -> list[Row]:
    assert ended.code == 0, ended.stderr
    return list(csv.DictReader(io.StringIO(ended.stdout, newline="")))


def test_a_ledger_alone_shows_what_the_manifest_shows(command: Preloaded, uploaded: Batch) -> None:
    folder = uploaded.folder
    table = command.run("report", uploaded.manifest, cwd=folder).stdout
    lines = command.run("report", uploaded.manifest, "--format", "jsonl", cwd=folder).stdout
    uploaded.path.unlink()
    shutil.rmtree(folder / "files")

    status = command.run("status", "june.ledger", cwd=folder)
    machine = command.run("status", "june.ledger", "--json", cwd=folder)
    report = command.run("report", "june.ledger", cwd=folder)

    assert status.code == 0
    assert status.stdout.startswith("items: 3, of which 3 complete\nlast run: ")
    assert UNREAD in status.stdout
    assert "`upload` sends nothing" not in status.stdout
    summary = assert_adds_up(machine)
    assert (summary["batch"], summary["items"], machine.states) == ("acme-2026", 3, {"complete": 3})
    assert [lane["target"] for lane in summary["lanes"]] == [None]
    assert [line["id"] for line in machine.of("item")] == uploaded.ids
    assert report.stdout == table
    assert UNREAD in report.stderr
    assert command.run("report", "june.ledger", "--format", "jsonl", cwd=folder).stdout == lines


def test_a_table_for_excel_is_the_same_behind_a_byte_order_mark(command: Preloaded, uploaded: Batch) -> None:
    for form, name in (("csv", "plain.csv"), ("csv-excel", "excel.csv")):
        ended = command.run("report", "june.ledger", "--format", form, "-o", name, cwd=uploaded.folder)
        assert ended.code == 0, ended.stderr
    printed = command.run("report", "june.yaml", "--format", "csv-excel", "--all", cwd=uploaded.folder)

    plain, excel = ((uploaded.folder / name).read_bytes() for name in ("plain.csv", "excel.csv"))
    assert excel == b"\xef\xbb\xbf" + plain
    assert printed.stdout.startswith("\ufeffid,source,")


def test_why_tells_the_history_and_not_what_the_manifest_would_do(command: Preloaded, uploaded: Batch) -> None:
    ended = command.run("why", "june.ledger", uploaded.ids[0], cwd=uploaded.folder)
    machine = command.run("why", "june.ledger", uploaded.ids[0], "--json", cwd=uploaded.folder)
    unknown = command.run("why", "june.ledger", "files/00.pdf", cwd=uploaded.folder)

    assert ended.code == 0
    assert f"`{uploaded.ids[0]}` of batch `acme-2026`: complete" in ended.stdout
    assert "attempts: 1" in ended.stdout
    assert "the manifest's token: not known, the manifest was not read" in ended.stdout
    assert "next: nothing is left to do, if the manifest still lists it so" in ended.stdout
    assert machine.item(uploaded.ids[0])["unreadable"] == "the manifest was not read"
    assert machine.states == {"complete": 1}
    assert unknown.code == 2
    assert "`files/00.pdf` is no id of `june.ledger`" in unknown.stderr
    assert "did you mean `files/000.pdf`" in unknown.stderr


def test_an_item_that_was_replaced_is_not_counted_and_exported_with_all(
    endpoint: Endpoint, command: Preloaded, uploaded: Batch
) -> None:
    (uploaded.folder / uploaded.ids[0]).write_bytes(pdf("another"))
    upload(command, uploaded, endpoint)

    status = command.run("status", "june.ledger", cwd=uploaded.folder)
    rows = rows_of(command.run("report", "june.ledger", "--all", cwd=uploaded.folder))

    assert "items: 3, of which 3 complete" in status.stdout
    assert "not counted above: 1 attachment that was replaced" in status.stdout
    assert "batch-upload report june.ledger --all" in status.stdout
    assert [(row["id"], row["in_manifest"]) for row in rows] == [
        *((each, "") for each in uploaded.ids),
        (uploaded.ids[0], "replaced"),
    ]
    assert rows[0]["client_token"] != rows[-1]["client_token"]


def test_only_chooses_states_and_ids_of_the_ledger(command: Preloaded, uploaded: Batch) -> None:
    one = rows_of(command.run("report", "june.ledger", "--only", uploaded.ids[1], cwd=uploaded.folder))
    none = rows_of(command.run("report", "june.ledger", "--only", "failed", cwd=uploaded.folder))
    unknown = command.run("report", "june.ledger", "--only", "nothing", "-o", "o.csv", cwd=uploaded.folder)

    assert [row["id"] for row in one] == [uploaded.ids[1]]
    assert none == []
    assert unknown.code == 2
    assert "`--only nothing` is neither a state nor an id of the ledger" in unknown.stderr
    assert not (uploaded.folder / "o.csv").exists()


def test_an_item_that_failed_is_named_with_what_to_do(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 2)
    endpoint.faults({"action": "validation", "operation": CREATE, "times": 1})
    command.run("upload", batch.manifest, "--rate", "100", cwd=tmp_path, env=endpoint.env)

    ended = command.run("status", "june.ledger", cwd=tmp_path)

    assert ended.stdout.startswith("items: 2, of which 1 complete, 1 failed")
    assert "batch-upload why june.ledger files/0" in ended.stdout


def test_every_batch_is_shown_and_counted_on_its_own(command: Preloaded, two_batches: Path) -> None:
    folder, name = two_batches.parent, two_batches.name
    status = command.run("status", name, cwd=folder)
    machine = command.run("status", name, "--json", cwd=folder)
    why = command.run("why", name, "a.pdf", cwd=folder)
    why_json = command.run("why", name, "a.pdf", "--json", cwd=folder)
    rows = rows_of(command.run("report", name, cwd=folder))
    page = command.run("report", name, "--format", "html", "-o", "x.html", "--json", cwd=folder)

    assert "items: 3, of which 3 complete" in status.stdout
    assert "batch `june`: 2 complete" in status.stdout
    assert "batch `july`: 1 complete" in status.stdout
    summary = assert_adds_up(machine)
    assert (summary["batch"], summary["items"], len(summary["lanes"])) == (None, 3, 1)
    assert summary["lanes"][0]["states"] == {"complete": 3}
    assert "`a.pdf` of batch `june`" in why.stdout
    assert "`a.pdf` of batch `july`" in why.stdout
    assert assert_adds_up(why_json)["items"] == 2
    assert sorted(row["id"] for row in rows) == ["a.pdf", "a.pdf", "b.pdf"]
    assert len({row["client_token"] for row in rows}) == 3
    assert assert_adds_up(page)["items"] == 3
    html = (folder / "x.html").read_text()
    assert "<title>july, june · batch-upload</title>" in html
    assert html.count("us-east-1 \\u00b7 ju") == 2


def test_one_batch_of_several_can_be_chosen(command: Preloaded, two_batches: Path) -> None:
    folder, name = two_batches.parent, two_batches.name
    by_variable = {"BATCH_UPLOAD_BATCH": "july"}

    status = command.run("status", name, "--batch", "june", "--json", cwd=folder)
    why = command.run("why", name, "a.pdf", "--batch", "july", cwd=folder)
    rows = rows_of(command.run("report", name, "--batch", "june", cwd=folder))
    page = command.run("report", name, "--format", "html", "-o", "x.html", cwd=folder, env=by_variable)

    summary = assert_adds_up(status)
    assert (summary["batch"], summary["items"], status.states) == ("june", 2, {"complete": 2})
    assert "`a.pdf` of batch `july`" in why.stdout
    assert "june" not in why.stdout
    assert [(row["id"], row["batch"]) for row in rows] == [("a.pdf", "june"), ("b.pdf", "june")]
    assert page.code == 0
    assert "<title>july · batch-upload</title>" in (folder / "x.html").read_text()


@pytest.mark.parametrize("words", [("status",), ("report",), ("why", "a.pdf")])
def test_a_batch_that_the_ledger_does_not_have_is_an_error_that_names_those_it_has(
    command: Preloaded, two_batches: Path, words: tuple[str, ...]
) -> None:
    ended = command.run(words[0], "x.ledger", *words[1:], "--batch", "Jun", cwd=two_batches.parent)
    of_manifest = command.run(words[0], "june/june.yaml", *words[1:], "--batch", "june", cwd=two_batches.parent)

    assert (ended.code, of_manifest.code) == (2, 2)
    assert "has no batch `Jun`" in ended.stderr
    assert "`july`, `june`" in ended.stderr
    assert "`--batch` chooses in a ledger, and `june/june.yaml` is a manifest" in of_manifest.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("report", "june.ledger", "--format", "manifest"), "`--format manifest` needs the manifest"),
        (("report", "june.ledger", "--local"), "`--local` needs the manifest"),
        (("status", "june.ledger", "--local"), "`--local` needs the manifest"),
        (("why", "june.ledger", "files/000.pdf", "--local"), "`--local` needs the manifest"),
        (("status", "june.ledger", "--ledger", "other.ledger"), "are both given"),
        (("status", "june.ledger", "--target", "acme"), "needs a ledger with `targets`"),
        (("status", "june.ledger", "--rehash"), "No such option"),
        (("report", "june.ledger", "-o", "june.ledger"), "is a file of the ledger, which it would overwrite"),
    ],
)
def test_what_needs_the_manifest_is_refused(
    command: Preloaded, uploaded: Batch, arguments: tuple[str, ...], words: str
) -> None:
    before = uploaded.ledger.read_bytes()

    ended = command.run(*arguments, cwd=uploaded.folder)

    assert (ended.code, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert uploaded.ledger.read_bytes() == before


def test_the_variable_of_rehash_is_refused_too(command: Preloaded, uploaded: Batch) -> None:
    ended = command.run("status", "june.ledger", cwd=uploaded.folder, env={"BATCH_UPLOAD_REHASH": "1"})

    assert ended.code == 2
    assert "`--rehash` needs the manifest" in ended.stderr


@pytest.mark.parametrize("verb", OTHER_VERBS)
def test_other_verbs_name_those_that_take_a_ledger_and_leave_it_as_it_is(
    endpoint: Endpoint, command: Preloaded, uploaded: Batch, verb: str
) -> None:
    before, requests = uploaded.ledger.read_bytes(), endpoint.stats().requests

    ended = command.run(verb, "june.ledger", cwd=uploaded.folder, env=endpoint.env)

    assert ended.code == 2
    assert "`june.ledger` is a database, such as a ledger, and not a manifest; nothing was done" in ended.stderr
    assert "only `status`, `why` and `report` take a ledger instead" in ended.stderr
    assert uploaded.ledger.read_bytes() == before
    assert endpoint.stats().requests == requests


@pytest.mark.parametrize("version", sorted(ACCOUNTS))
def test_a_ledger_of_every_schema_is_read_as_it_is(command: Preloaded, tmp_path: Path, version: int) -> None:
    kept = KEPT / f"version-{version}.ledger"
    shutil.copyfile(kept, tmp_path / "june.ledger")

    ended = command.run("status", "june.ledger", "--json", cwd=tmp_path)
    rows = rows_of(command.run("report", "june.ledger", cwd=tmp_path))

    assert assert_adds_up(ended)["items"] == 3
    assert ended.states == {"pending": 1, "sending": 1, "complete": 1}
    assert {row["account"] for row in rows} == {ACCOUNTS[version]}
    assert (tmp_path / "june.ledger").read_bytes() == kept.read_bytes()


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ("newer", "was written by batch-upload 9.0.0 (schema 99)"),
        ("truncated", "is damaged"),
        ("random-page", "is damaged"),
        ("random-header", "is damaged, or not a ledger"),
        ("other-database", "is not a ledger"),
        ("half-made", "is empty: no run has recorded anything in it"),
    ],
)
@pytest.mark.parametrize("verb", ["status", "why", "report"])
def test_a_ledger_that_cannot_be_used_ends_with_24(
    command: Preloaded, tmp_path: Path, verb: str, kept: str, words: str
) -> None:
    shutil.copyfile(KEPT / f"{kept}.ledger", tmp_path / "june.ledger")
    item = ("files/000.pdf",) if verb == "why" else ()

    ended = command.run(verb, "june.ledger", *item, cwd=tmp_path)

    assert (ended.code, ended.stdout) == (24, "")
    assert words in ended.stderr


def test_a_ledger_is_known_by_its_content_and_a_manifest_stays_one(command: Preloaded, uploaded: Batch) -> None:
    uploaded.ledger.rename(uploaded.folder / "state.db")
    uploaded.path.rename(uploaded.folder / "odd.ledger")

    ledger = command.run("status", "state.db", "--json", cwd=uploaded.folder)
    manifest = command.run("status", "odd.ledger", "--ledger", "state.db", "--json", cwd=uploaded.folder)
    missing = command.run("status", "june.ledger", cwd=uploaded.folder)

    assert ledger.states == manifest.states == {"complete": 3}
    assert missing.code == 2
    assert "cannot be read: no such file" in missing.stderr


def test_a_ledger_that_a_run_holds_is_read_with_its_wal(endpoint: Endpoint, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 3)
    endpoint.change(processing_s=3_600)
    with installed.started("upload", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env) as running:
        running.until("run")
        during = installed.run("status", "june.ledger", cwd=tmp_path)
        running.signal(signal.SIGKILL)
        killed = running.finish()
    assert killed.code == -signal.SIGKILL
    assert (tmp_path / "june.ledger-wal").stat().st_size > 0

    after = installed.run("status", "june.ledger", "--json", cwd=tmp_path)
    words = installed.run("status", "june.ledger", cwd=tmp_path)

    assert during.code == 0
    assert during.stdout.startswith("items: 3, of which ")
    assert ", is under way" in during.stdout
    assert "running now: " in during.stdout
    assert assert_adds_up(after)["items"] == 3
    assert "stopped without an end" in words.stdout


# several lanes


@pytest.fixture(scope="module")
def service() -> Iterator[EmulatorProcess]:
    """An emulator in which every role can be assumed."""
    settings = {"rates": {"CreateRegistrationAttachment": 50}, "attachments_per_account": 500}
    with running_emulator({**settings, "processing_s": 0.05}) as process:
        yield process


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, service: EmulatorProcess) -> Fleet:
    """Two accounts in two Regions whose items were uploaded; manifest and documents are gone."""
    made = make_fleet(tmp_path_factory.mktemp("fleet"), accounts=2)
    env = {**KEYS, "AWS_ENDPOINT_URL_STS": service.url}
    flags = ("--rate", "50", "--endpoint-url", service.url)
    ended = installed.run("upload", made.path, *flags, cwd=made.folder, env=env)
    assert ended.code == 0, ended.stderr
    (made.folder / "table.csv").write_text(installed.run("report", made.path, cwd=made.folder).stdout)
    made.path.unlink()
    for name in made.accounts:
        shutil.rmtree(made.folder / name)
    return made


def test_every_lane_is_counted_and_named_as_its_target(command: Preloaded, fleet: Fleet) -> None:
    ended = command.run("status", "fleet.ledger", "--json", cwd=fleet.folder)
    people = command.run("status", "fleet.ledger", "-v", cwd=fleet.folder)

    summary = assert_adds_up(ended)
    assert (summary["items"], summary["batch"], summary["account"]) == (12, "fleet-2026", None)
    found = {lane["target"]: (lane["account"], lane["region"], lane["items"]) for lane in summary["lanes"]}
    assert found == {label: (*fleet.lane(label).split("/"), 3) for label in fleet.labels}
    assert {line["target"] for line in ended.of("item")} == set(fleet.labels)
    assert all(label in people.stdout for label in fleet.labels)


def test_the_report_of_all_lanes_is_that_of_the_manifest(command: Preloaded, fleet: Fleet) -> None:
    ended = command.run("report", "fleet.ledger", cwd=fleet.folder)

    assert ended.stdout.splitlines() == (fleet.folder / "table.csv").read_text().splitlines()


def test_target_chooses_lanes_of_the_ledger(command: Preloaded, fleet: Fleet) -> None:
    label = fleet.labels[2]
    account = rows_of(command.run("report", "fleet.ledger", "--target", "t001", cwd=fleet.folder))
    lane = command.run("status", "fleet.ledger", "--target", label, "--json", cwd=fleet.folder)
    wrong = command.run("status", "fleet.ledger", "--target", "t01", cwd=fleet.folder)

    assert {row["target"] for row in account} == set(fleet.labels[2:])
    assert [(each["target"], each["items"]) for each in lane.summary["lanes"]] == [(label, 3)]
    assert assert_adds_up(lane)["items"] == 3
    assert wrong.code == 2
    assert "`--target t01` is none of the ledger's targets" in wrong.stderr


def test_an_id_is_told_and_exported_in_each_lane_or_in_one(command: Preloaded, fleet: Fleet) -> None:
    both = command.run("why", "fleet.ledger", "t000/all-0.pdf", cwd=fleet.folder)
    one = command.run("why", "fleet.ledger", f"{fleet.labels[1]}:t000/all-0.pdf", "--json", cwd=fleet.folder)
    rows = rows_of(
        command.run("report", "fleet.ledger", "--only", f"{fleet.labels[1]}:t000/all-0.pdf", cwd=fleet.folder)
    )

    assert [line for line in both.stdout.splitlines() if line.startswith("in ")] == [
        f"in {label} ({fleet.lane(label)}):" for label in fleet.labels[:2]
    ]
    assert [line["target"] for line in one.of("item")] == [fleet.labels[1]]
    assert [row["target"] for row in rows] == [fleet.labels[1]]


def test_the_page_has_every_lane_and_says_that_the_manifest_was_not_read(command: Preloaded, fleet: Fleet) -> None:
    ended = command.run("report", "fleet.ledger", "--format", "html", "-o", "x.html", "--json", cwd=fleet.folder)

    page = (fleet.folder / "x.html").read_text()
    head = json.JSONDecoder().raw_decode(page, page.index('{"batch":"fleet-2026"'))[0]
    assert assert_adds_up(ended)["items"] == 12
    assert [lane["label"] for lane in head["lanes"]] == fleet.labels
    assert (head["total"], head["listed"], head["manifest"]) == (12, 12, "not read")
