"""`status`, `why`, `report` and `plan` agree on what the next `upload` does, whatever became of files and ledger."""

import csv
import io
import shutil
from pathlib import Path

import pytest

from tests.support.batches import Batch, jpeg, make_batch, pdf
from tests.support.command import Result
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

GLOB = "version: 1\nbatch: acme-2026\nattachments:\n  - glob: files/*.pdf\n"


@pytest.fixture
def refused(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> Batch:
    """A ledger that was put back from a copy, and that `upload` has refused."""
    batch = make_batch(tmp_path, 3)
    copy = tmp_path / "copy"

    def upload(*flags: str) -> int:
        return command.run("upload", batch.manifest, *flags, "--rate", "100", cwd=tmp_path, env=endpoint.env).code

    assert upload("--only", batch.ids[0]) == 0
    shutil.copy(batch.ledger, copy)
    assert upload() == 0
    for each in tmp_path.glob("june.ledger-*"):
        each.unlink()
    shutil.copy(copy, batch.ledger)
    assert upload() == 25
    return batch


def test_a_refused_copy_of_a_ledger_is_called_so_by_every_verb(
    endpoint: Endpoint, command: Preloaded, refused: Batch
) -> None:
    item_id = refused.ids[2]

    status = command.run("status", refused.manifest, cwd=refused.folder)
    why = command.run("why", refused.manifest, item_id, cwd=refused.folder)
    planned = command.run("plan", refused.manifest, "--offline", cwd=refused.folder)

    for said in (status.stdout, why.stdout):
        assert "`upload` refuses this ledger: AWS holds 2 attachments of this batch that this ledger does not" in said
        assert "batch-upload reconcile june.yaml" in said
    assert "the next `upload` sends it" not in why.stdout
    assert "warning: `upload` refuses this ledger until `reconcile` has run" in planned.stderr

    assert command.run("reconcile", refused.manifest, "--yes", cwd=refused.folder, env=endpoint.env).code == 0
    after = command.run("status", refused.manifest, cwd=refused.folder)
    assert "refuses" not in after.stdout
    assert "3 complete" in after.stdout


def test_a_file_that_vanished_is_missing_for_every_verb(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 3)
    assert command.run("upload", batch.manifest, "--rate", "100", cwd=tmp_path, env=endpoint.env).code == 0
    assert "missing" not in command.run("status", batch.manifest, cwd=tmp_path).stdout
    (tmp_path / batch.ids[1]).unlink()

    status = command.run("status", batch.manifest, cwd=tmp_path)
    why = command.run("why", batch.manifest, batch.ids[1], cwd=tmp_path)

    assert (
        f"`upload` sends nothing: 1 file missing: `{batch.ids[1]}`\n  batch-upload validate june.yaml" in status.stdout
    )
    assert "3 complete" in status.stdout
    assert f"`upload` sends nothing of this manifest: `{batch.ids[1]}` does not exist" in why.stdout
    for verb in ("upload", "plan", "validate"):
        assert command.run(verb, batch.manifest, cwd=tmp_path, env=endpoint.env).code == 21


def test_of_a_new_ledger_nobody_says_that_an_item_is_not_at_the_service(command: Preloaded, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 2)

    why = command.run("why", batch.manifest, batch.ids[0], cwd=tmp_path)
    planned = command.run("plan", batch.manifest, "--offline", cwd=tmp_path)

    assert "the next `upload` looks whether the service has it already, and sends it if not (new)" in why.stdout
    assert "attachments of this batch may already be at the service" in planned.stderr


@pytest.fixture
def emptied(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> Path:
    """A manifest whose glob matched three files, which were uploaded and then removed."""
    batch = make_batch(tmp_path, 9)
    batch.path.write_text(GLOB, encoding="utf-8")
    assert command.run("upload", batch.manifest, "--rate", "100", cwd=tmp_path, env=endpoint.env).code == 0
    for each in tmp_path.glob("files/*.pdf"):
        each.unlink()
    return batch.path


def test_the_ledger_is_still_shown_where_a_glob_matches_no_file_any_more(command: Preloaded, emptied: Path) -> None:
    folder = emptied.parent

    status = command.run("status", emptied, "--json", cwd=folder)
    people = command.run("status", emptied, cwd=folder)
    report = command.run("report", emptied, "--format", "csv", cwd=folder)
    why = command.run("why", emptied, "files/000.pdf", cwd=folder)

    assert (status.code, status.states, status.summary["items"]) == (0, {"complete": 3}, 3)
    assert "no longer matched by the manifest: 3 items" in people.stdout
    assert "`upload` sends nothing: `files/*.pdf` matches no file" in people.stdout
    rows = list(csv.DictReader(io.StringIO(report.stdout)))
    assert [(row["id"], row["state"]) for row in rows] == [
        (f"files/00{number}.pdf", "complete") for number in (0, 3, 6)
    ]
    assert (report.code, why.code) == (0, 0)
    assert "complete" in why.stdout
    assert "`upload` sends nothing of this manifest: `files/*.pdf` matches no file" in why.stdout


@pytest.mark.parametrize("verb", ["upload", "plan", "validate"])
def test_nothing_is_sent_by_a_manifest_whose_glob_matches_no_file(
    endpoint: Endpoint, command: Preloaded, emptied: Path, verb: str
) -> None:
    ended = command.run(verb, emptied, cwd=emptied.parent, env=endpoint.env)

    assert ended.code == 21
    assert "matches no file" in ended.stderr


def test_a_glob_that_never_matched_is_a_problem_for_every_verb(command: Preloaded, tmp_path: Path) -> None:
    (tmp_path / "june.yaml").write_text(GLOB, encoding="utf-8")

    for verb in (["status"], ["report"], ["why"]):
        arguments = [*verb, "june.yaml", *(["files/000.pdf"] if verb == ["why"] else [])]
        assert command.run(*arguments, cwd=tmp_path).code == 21


def test_plan_and_verify_say_what_they_know_although_a_file_vanished(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 4)
    assert command.run("upload", batch.manifest, "--rate", "100", cwd=tmp_path, env=endpoint.env).code == 0
    (tmp_path / batch.ids[1]).unlink()
    (tmp_path / batch.ids[2]).write_bytes(jpeg("another"))

    told = {verb: json_of(command, endpoint, batch, verb) for verb in ("status", "plan", "verify")}
    text = command.run("plan", batch.manifest, cwd=tmp_path, env=endpoint.env)
    verified = command.run("verify", batch.manifest, cwd=tmp_path, env=endpoint.env)

    assert all(each.states == {"complete": 3, "pending": 1} for each in told.values()), told
    assert {verb: each.code for verb, each in told.items()} == {"status": 0, "plan": 21, "verify": 0}
    assert [line["code"] for line in told["plan"].of("problem")] == ["missing"]
    assert actions_of(told["plan"]) == {
        batch.ids[0]: "unchanged",
        batch.ids[2]: "replace",
        batch.ids[3]: "unchanged",
    }
    assert "content changed" in text.stdout
    assert "orphan" not in text.stdout
    assert f"1 problem in `june.yaml`\n  june.yaml:8:11: `{batch.ids[1]}` does not exist" in text.stderr
    assert "lists all of them; `--skip-invalid` goes on without them" in text.stderr
    assert f"`upload` sends nothing: 1 file missing: `{batch.ids[1]}`" in verified.stdout
    assert "with `--skip-invalid` it goes on without what is invalid" in verified.stdout


def test_a_changed_file_a_raised_generation_and_other_tags_are_counted_alike_by_every_verb(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 4)
    assert command.run("upload", batch.manifest, "--rate", "100", cwd=tmp_path, env=endpoint.env).code == 0
    changed, raised, tagged, _ = batch.ids
    (tmp_path / changed).write_bytes(pdf("another"))
    text = batch.path.read_text(encoding="utf-8")
    text = text.replace(f'"{raised}"', f'"{raised}"\n    generation: 2')
    batch.path.write_text(text.replace(f'"{tagged}"', f'"{tagged}"\n    tags: {{Customer: birch}}'), encoding="utf-8")

    told = {verb: json_of(command, endpoint, batch, verb) for verb in ("status", "plan", "verify")}
    people = command.run("status", batch.manifest, cwd=tmp_path)
    why = {name: command.run("why", batch.manifest, name, "--json", cwd=tmp_path).states for name in batch.ids}

    assert all(each.states == {"complete": 2, "pending": 2} for each in told.values()), told
    assert list(why.values()) == [{"pending": 1}, {"pending": 1}, {"complete": 1}, {"complete": 1}]
    assert {line["id"]: line["state"] for line in told["status"].of("item")} == {
        changed: "pending",
        raised: "pending",
        tagged: "complete",
        batch.ids[3]: "complete",
    }
    assert f"2 changed since the upload, sent by the next `upload`: `{changed}`, `{raised}`" in people.stdout
    assert f"1 with other tags than AWS has, changed by the next `upload`: `{tagged}`" in people.stdout

    assert command.run("upload", batch.manifest, "--rate", "100", cwd=tmp_path, env=endpoint.env).code == 0
    after = command.run("status", batch.manifest, cwd=tmp_path)
    assert "4 complete" in after.stdout
    assert "the next `upload`" not in after.stdout
    assert "not counted above: 2 attachments that were replaced or are no longer listed" in after.stdout
    assert "batch-upload report june.yaml --all" in after.stdout


def test_verify_compares_what_the_ledger_has_where_a_glob_matches_no_file_any_more(
    endpoint: Endpoint, command: Preloaded, emptied: Path
) -> None:
    folder = emptied.parent

    agreed = command.run("verify", emptied, "--json", cwd=folder, env=endpoint.env)
    people = command.run("verify", emptied, cwd=folder, env=endpoint.env)
    planned = command.run("plan", emptied, "--json", cwd=folder, env=endpoint.env)
    endpoint.set_status(endpoint.attachments()[0]["id"], "DELETED")
    differing = command.run("verify", emptied, "--json", cwd=folder, env=endpoint.env)

    assert (agreed.code, agreed.states, agreed.of("comparison")[0]["agreeing"]) == (0, {"complete": 3}, 3)
    assert "`upload` sends nothing: `files/*.pdf` matches no file" in people.stdout
    assert (planned.code, planned.states, planned.of("action")) == (21, {"complete": 3}, [])
    assert (differing.code, [line["finding"] for line in differing.of("finding")]) == (25, ["deleted"])


def test_a_file_that_may_no_longer_be_sent_hides_nothing_either(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 2)
    assert command.run("upload", batch.manifest, "--rate", "100", cwd=tmp_path, env=endpoint.env).code == 0
    (tmp_path / batch.ids[0]).write_bytes(b"")

    told = {verb: json_of(command, endpoint, batch, verb) for verb in ("status", "plan", "verify")}
    status = command.run("status", batch.manifest, cwd=tmp_path)
    why = command.run("why", batch.manifest, batch.ids[0], cwd=tmp_path)

    assert all(each.states == {"complete": 2} for each in told.values()), told
    assert {verb: each.code for verb, each in told.items()} == {"status": 0, "plan": 21, "verify": 0}
    for said in (status.stdout, why.stdout):
        assert f"`{batch.ids[0]}` is empty" in said


def json_of(command: Preloaded, endpoint: Endpoint, batch: Batch, verb: str) -> Result:
    return command.run(verb, batch.manifest, "--json", cwd=batch.folder, env=endpoint.env)


def actions_of(planned: Result) -> dict[str, str]:
    return {line["id"]: line["action"] for line in planned.of("action")}
