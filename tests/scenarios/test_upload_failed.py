"""What AWS could not process: the same command tries again, twice, and a part of the manifest ends well, too."""

import shlex
from pathlib import Path

import pytest

from batch_upload.operations import CREATE, DELETE
from tests.support.batches import BATCH, pdf
from tests.support.command import Event, Result
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

DOOMED = "files/2.pdf"


class Story:
    """A manifest with one glob of four files, of which the service cannot process one until it is mended."""

    def __init__(self, folder: Path, endpoint: Endpoint, command: Preloaded) -> None:
        self.folder, self.endpoint, self.command = folder, endpoint, command
        (folder / "files").mkdir()
        for number in range(4):
            (folder / "files" / f"{number}.pdf").write_bytes(pdf(f"document {number}"))
        self.manifest = folder / "june.yaml"
        self.manifest.write_text(f"version: 1\nbatch: {BATCH}\nattachments:\n  - glob: files/*.pdf\n")
        endpoint.change(fails_containing=["document 2"])

    def run(self, verb: str, *arguments: str | Path) -> Result:
        return self.command.run(verb, *arguments, cwd=self.folder, env=self.endpoint.env)

    def upload(self, manifest: str = "june.yaml") -> Result:
        return self.run("upload", manifest, "--rate", "100", "--json")

    def mend(self) -> None:
        self.endpoint.change(fails_containing=[])

    def statuses(self) -> list[str]:
        return sorted(each["status"] for each in self.endpoint.attachments())

    def states(self) -> dict[str, int]:
        return self.run("status", "june.yaml", "--json").states

    def assert_all_agree(self) -> None:
        """Every verb says that nothing is left to do, and the service that nothing is there twice."""
        creates = self.endpoint.stats().creates
        again = self.upload()
        plan = self.run("plan", "june.yaml", "--json")
        assert (again.code, again.states) == (0, {"complete": 4}), again.stderr
        assert {line["action"] for line in plan.of("action")} == {"unchanged"}
        assert self.states() == {"complete": 4}
        verified = self.run("verify", "june.yaml", "--json")
        assert (verified.code, verified.states) == (0, {"complete": 4}), verified.stderr
        reconciled = self.run("reconcile", "june.yaml", "--json")
        assert (reconciled.code, reconciled.states) == (0, {"complete": 4}), reconciled.stderr
        assert "complete" in self.run("why", "june.yaml", DOOMED).stdout
        assert self.endpoint.stats().creates == creates
        assert self.statuses().count("UPLOAD_COMPLETE") == 4


@pytest.fixture
def story(tmp_path: Path, endpoint: Endpoint, command: Preloaded) -> Story:
    return Story(tmp_path, endpoint, command)


def action_of(result: Result, item_id: str) -> Event:
    return next(line for line in result.of("action") if line["id"] == item_id)


def test_the_same_command_tries_again_what_aws_could_not_process(story: Story) -> None:
    failed = story.upload()
    status = story.run("status", "june.yaml")
    planned = action_of(story.run("plan", "june.yaml", "--json"), DOOMED)
    why = story.run("why", "june.yaml", DOOMED)
    page = story.run("report", "june.yaml", "--format", "html")
    story.mend()
    mended = story.upload()

    assert (failed.code, failed.states) == (20, {"complete": 3, "failed": 1})
    assert "AWS could not process this file. The next run tries again (1 of 2)" in status.stdout
    assert planned["action"] == "create"
    assert "the next run tries again (1 of 2)" in planned["reason"]
    assert "the next run tries again (1 of 2)" in why.stdout
    assert "AWS could not process this file. The next run tries again (1 of 2)" in page.stdout
    assert (mended.code, mended.states, mended.summary["uploaded"]) == (0, {"complete": 4}, 1)
    assert story.endpoint.stats().creates == 5
    assert story.statuses() == ["UPLOAD_COMPLETE"] * 4 + ["UPLOAD_FAILED"]
    story.assert_all_agree()


def test_after_two_retries_nothing_is_sent_and_what_helps_is_said(story: Story) -> None:
    codes = [story.upload().code for _ in range(3)]
    told = story.run("upload", "june.yaml", "--rate", "100")
    again = story.upload()
    status = story.run("status", "june.yaml")
    why = story.run("why", "june.yaml", DOOMED)
    page = story.run("report", "june.yaml", "--format", "html")

    assert codes == [20, 20, 20]
    assert (told.code, again.code, story.endpoint.stats().creates) == (20, 20, 6)
    assert again.states == {"complete": 3, "failed": 1}
    assert again.summary["requests"].get(CREATE, 0) == 0
    for text in (told.stderr + told.stdout, status.stdout, page.stdout):
        assert "after 2 retries: replace the file, or raise `generation`" in text
        assert "tries again" not in text
    assert "replace the file, or raise `generation`" in why.stdout
    assert story.run("verify", "june.yaml", "--json").states == {"complete": 3, "failed": 1}


def test_another_file_starts_anew(story: Story) -> None:
    for _ in range(3):
        story.upload()
    (story.folder / DOOMED).write_bytes(pdf("a better one"))

    done = story.upload()

    assert (done.code, done.summary["uploaded"]) == (0, 1)
    story.assert_all_agree()


def test_a_manifest_of_the_failed_runs_as_it_is_and_the_first_one_agrees(story: Story) -> None:
    story.upload()
    story.mend()
    report = story.run("report", "june.yaml", "--format", "manifest", "--only", "failed", "-o", "failed.yaml")

    done = story.upload("failed.yaml")
    status = story.run("status", "failed.yaml")
    plan = story.run("plan", "failed.yaml", "--json")

    assert report.code == 0, report.stderr
    assert 'part_of: "june.yaml"' in (story.folder / "failed.yaml").read_text()
    assert (done.code, done.states) == (0, {"complete": 1})
    assert "no longer in the manifest" not in status.stdout + plan.stdout
    assert [line["action"] for line in plan.of("action")] == ["unchanged"]
    story.assert_all_agree()


def test_the_advice_after_a_manifest_of_the_failed_can_be_followed(story: Story) -> None:
    story.upload()
    story.run("report", "june.yaml", "--format", "manifest", "--only", "failed", "-o", "failed.yaml")

    again = story.upload("failed.yaml")
    advised = next(line for line in again.stderr.splitlines() if " report " in line)
    report = story.run(*shlex.split(advised, comments=True)[1:])

    assert again.code == 20
    assert report.code == 0, report.stderr


def test_a_generation_raised_in_the_part_satisfies_the_first_manifest(story: Story) -> None:
    for _ in range(3):
        story.upload()
    story.mend()
    story.run("report", "june.yaml", "--format", "manifest", "--only", "failed", "-o", "failed.yaml")
    part = story.folder / "failed.yaml"
    part.write_text(part.read_text().replace("generation: 1", "generation: 2"))

    done = story.upload("failed.yaml")

    assert (done.code, done.summary["uploaded"]) == (0, 1)
    story.assert_all_agree()


def test_prune_refuses_a_part_and_names_the_whole(story: Story) -> None:
    story.upload()
    (story.folder / "parts").mkdir()
    written = story.run(
        "report", "june.yaml", "--format", "manifest", "--only", "failed", "-o", "parts/failed.yaml", "--allow-outside"
    )
    pruned = story.run("prune", "parts/failed.yaml", "--yes", "--allow-outside")

    assert written.code == 0, written.stderr
    assert 'part_of: "../june.yaml"' in (story.folder / "parts" / "failed.yaml").read_text()
    assert pruned.code == 2
    assert "lists only a part of `../june.yaml`" in pruned.stderr
    assert story.endpoint.stats().requests[DELETE] == 0


def test_prune_deletes_the_failed_attachment_once_its_retry_is_complete(story: Story) -> None:
    story.upload()
    too_early = story.run("prune", "june.yaml", "--yes", "--json")
    story.mend()
    story.upload()
    pruned = story.run("prune", "june.yaml", "--yes", "--json")
    again = story.run("prune", "june.yaml", "--yes", "--json")

    assert (too_early.code, too_early.of("pruned")) == (0, [])
    assert (pruned.code, [line["id"] for line in pruned.of("pruned")]) == (0, [DOOMED]), pruned.stderr
    assert again.of("prune") == []
    assert story.statuses() == ["DELETED"] + ["UPLOAD_COMPLETE"] * 4
    story.assert_all_agree()


@pytest.mark.parametrize(("verb", "is_pruned"), [("upload", True), ("reconcile", False)])
def test_a_ledger_lost_after_a_retry_uploads_nothing_twice(story: Story, verb: str, *, is_pruned: bool) -> None:
    story.upload()
    story.mend()
    story.upload()
    if is_pruned:
        story.run("prune", "june.yaml", "--yes")
    for path in story.folder.glob("june.ledger*"):
        path.unlink()

    plan = story.run("plan", "june.yaml", "--json")
    found = story.run("verify", "june.yaml", "--json")
    done = story.run(verb, "june.yaml", "--json")

    assert {line["action"] for line in plan.of("action")} == {"unchanged"}
    assert {line["finding"] for line in found.of("finding")} == {"unrecorded"}
    assert (done.code, done.states) == (0, {"complete": 4}), done.stderr
    assert story.endpoint.stats().creates == 5
    story.assert_all_agree()


def test_other_tags_of_a_retried_item_are_put_on_the_attachment_that_stands_and_taken_back(story: Story) -> None:
    story.upload()
    story.mend()
    story.upload()
    before = story.manifest.read_text()
    story.manifest.write_text(before.replace("attachments:", "defaults: {tags: {Customer: acme}}\nattachments:"))
    changed = story.upload()
    agreed = story.run("verify", "june.yaml", "--json")
    story.manifest.write_text(before)
    taken_back = story.upload()

    assert (changed.code, changed.states) == (0, {"complete": 4}), changed.stderr
    assert agreed.code == 0
    assert (taken_back.code, taken_back.states) == (0, {"complete": 4}), taken_back.stderr
    assert story.endpoint.stats().creates == 5
    story.assert_all_agree()


def test_why_tells_which_retry_a_token_is_of(story: Story) -> None:
    story.upload()
    story.mend()
    story.upload()

    why = story.run("why", "june.yaml", DOOMED, "--json")

    assert why.item(DOOMED)["named"]["retry"] == 1
    assert why.item(DOOMED)["manifest_client_token"] == why.item(DOOMED)["client_token"]
    assert why.item(DOOMED)["changed"] == {}
    assert [("retry" in line["named"], line["state"]) for line in why.of("earlier")] == [(False, "failed")]


def test_what_is_lost_before_the_answer_of_a_retry_is_made_once(story: Story) -> None:
    story.upload()
    story.mend()
    story.endpoint.faults({"action": "drop_after", "operation": CREATE, "times": 1})

    done = story.upload()

    assert (done.code, done.states) == (0, {"complete": 4}), done.stderr
    assert story.statuses() == ["UPLOAD_COMPLETE"] * 4 + ["UPLOAD_FAILED"]
    story.assert_all_agree()


def test_a_retry_that_was_not_sent_is_sent_by_the_next_run(story: Story) -> None:
    """The account is full in between."""
    story.upload()
    story.mend()
    story.endpoint.change(attachments_per_account=4)
    full = story.upload()
    story.endpoint.change(attachments_per_account=None)
    done = story.upload()

    assert (full.code, full.states) == (27, {"complete": 3, "parked": 1}), full.stderr
    assert (done.code, done.states) == (0, {"complete": 4}), done.stderr
    assert story.endpoint.stats().creates <= 6
    story.assert_all_agree()
