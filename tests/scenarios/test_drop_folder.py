"""A folder that others fill, and a run every hour: nothing, drafts, half-written files, and names from a Mac."""

import os
import time
import unicodedata
from pathlib import Path

from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded
from tests.support.real_documents import real_pdf

MANIFEST = (
    "version: 1\nbatch: drop-folder\nattachments:\n"
    '  - glob: "in/**/*.{pdf,png}"\n    exclude: [draft-*, old]\n    optional: true\n    min_age: 60s\n'
)
FAST = ("--rate", "200")


def drop(folder: Path, name: str, content: bytes | None = None, *, age_s: float = 3_600) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(real_pdf(name) if content is None else content)
    changed_s = time.time() - age_s
    os.utime(path, (changed_s, changed_s))
    return path


def manifest_in(folder: Path, text: str = MANIFEST) -> Path:
    path = folder / "m.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_nothing_today_is_done_and_silent(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    path = manifest_in(tmp_path)
    drop(tmp_path, "in/draft-a.pdf")
    drop(tmp_path, "in/old/b.pdf")
    drop(tmp_path, "in/~$c.pdf")
    drop(tmp_path, "in/half.pdf", age_s=1)

    quiet = command.run("upload", path, "--quiet", cwd=tmp_path, env=endpoint.env)
    told = command.run("upload", path, "--json", cwd=tmp_path, env=endpoint.env)

    assert (quiet.code, quiet.stdout, quiet.stderr) == (0, "", "")
    assert (told.code, told.summary["items"], told.summary["states"]) == (0, 0, {})
    assert "1 file is younger than 60 s: left for a later run" in told.stderr
    assert [(each["id"], each["min_age_s"], each["is_future"]) for each in told.of("left_for_later")] == [
        ("in/half.pdf", 60, False)
    ]
    assert endpoint.attachments() == []


def test_only_a_file_that_waits_is_nothing_to_do(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    path = manifest_in(tmp_path)
    drop(tmp_path, "in/a.pdf")
    drop(tmp_path, "in/half.pdf", age_s=1)

    planned = command.run("plan", path, "--only", "in/half.pdf", "--json", cwd=tmp_path, env=endpoint.env)
    sent = command.run("upload", path, "--only", "in/half.pdf", "--json", cwd=tmp_path, env=endpoint.env)
    strange = command.run("upload", path, "--only", "in/helf.pdf", "--json", cwd=tmp_path, env=endpoint.env)

    assert (planned.code, planned.of("action")) == (0, [])
    assert (sent.code, sent.states, sent.summary["uploaded"]) == (0, {"pending": 1}, 0)
    assert "1 file is younger than 60 s: left for a later run" in sent.stderr
    assert strange.code == 2
    assert endpoint.attachments() == []


def test_a_half_written_file_waits_and_what_was_uploaded_under_its_id_stays(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    path = manifest_in(tmp_path)
    for name in ("in/a.pdf", "in/SCAN.PDF", "in/deep/b.Pdf"):
        drop(tmp_path, name)
    first = command.run("upload", path, *FAST, "--json", cwd=tmp_path, env=endpoint.env)

    drop(tmp_path, "in/a.pdf", real_pdf("anew")[:40], age_s=1)
    drop(tmp_path, "in/c.pdf", real_pdf("c"), age_s=-86_400)
    planned = command.run("plan", path, "--json", cwd=tmp_path, env=endpoint.env)
    second = command.run("upload", path, *FAST, "--json", cwd=tmp_path, env=endpoint.env)
    pruned = command.run("prune", path, "--yes", "--json", cwd=tmp_path, env=endpoint.env)
    counted = command.run("status", path, "--json", cwd=tmp_path, env=endpoint.env)
    reported = command.run("report", path, "--format", "jsonl", cwd=tmp_path, env=endpoint.env)
    drop(tmp_path, "in/a.pdf", real_pdf("anew"))
    last = command.run("upload", path, *FAST, "--json", cwd=tmp_path, env=endpoint.env)

    assert (first.code, first.states) == (0, {"complete": 3})
    assert {each["action"] for each in planned.of("action")} == {"unchanged"}
    assert "1 file is younger than 60 s: left for a later run" in planned.stderr
    assert "1 file has a time of change in the future, such as `in/c.pdf`" in planned.stderr
    assert (second.code, second.states, second.summary["uploaded"]) == (0, {"complete": 2}, 0)
    assert (pruned.code, pruned.of("pruned")) == (0, [])
    assert (counted.code, counted.states) == (0, {"complete": 3})
    assert reported.stdout.count('"state": "complete"') + reported.stdout.count('"state":"complete"') == 3
    assert (last.code, last.summary["uploaded"], last.states) == (0, 1, {"complete": 3})


def test_an_entry_of_its_own_wins_over_the_glob(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    drop(tmp_path, "in/a.pdf")
    drop(tmp_path, "in/b.pdf")
    path = manifest_in(tmp_path, MANIFEST + "  - {file: in/b.pdf, generation: 2}\n")

    first = command.run("upload", path, *FAST, "--json", cwd=tmp_path, env=endpoint.env)
    again = command.run("upload", path, *FAST, "--json", cwd=tmp_path, env=endpoint.env)

    assert (first.code, first.states, first.summary["uploaded"]) == (0, {"complete": 2}, 2)
    assert (again.code, again.summary["uploaded"]) == (0, 0)


def test_many_lanes_with_nothing_today_are_done(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    targets = 'targets: {list: [{name: acme, account: "123456789012", regions: [us-east-1]}]}'
    path = manifest_in(
        tmp_path, MANIFEST.replace("attachments:", f"{targets}\ndefaults: {{target: all}}\nattachments:")
    )

    ended = command.run("upload", path, "--yes", "--json", cwd=tmp_path, env=endpoint.env)

    assert (ended.code, ended.summary["items"]) == (0, 0)


def test_a_broken_link_is_a_problem_also_in_a_folder_that_others_fill(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    drop(tmp_path, "in/a.pdf")
    (tmp_path / "in" / "b.pdf").symlink_to("nowhere.pdf")

    ended = command.run("upload", manifest_in(tmp_path), "--json", cwd=tmp_path, env=endpoint.env)

    assert (ended.code, [each["code"] for each in ended.of("problem")]) == (21, ["missing"])


def test_a_name_from_a_mac_is_found_by_what_people_type(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Société/Müller.pdf") for form in ("NFC", "NFD"))
    drop(tmp_path, decomposed)
    path = manifest_in(tmp_path, f"version: 1\nbatch: b\nattachments:\n  - file: {composed}\n")

    first = command.run("upload", path, *FAST, "--json", cwd=tmp_path, env=endpoint.env)
    again = command.run("upload", path, *FAST, "--json", cwd=tmp_path, env=endpoint.env)

    assert (first.code, first.states, first.item(composed)["state"]) == (0, {"complete": 1}, "complete")
    assert [each["code"] for each in first.of("warning")] == ["other-form"]
    assert (again.code, again.summary["uploaded"], again.summary["unchanged"]) == (0, 0, 1)


def test_a_renamed_file_is_told_before_a_slot_is_spent(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    path = manifest_in(tmp_path)
    decomposed, composed = (unicodedata.normalize(form, "in/Müller.pdf") for form in ("NFD", "NFC"))
    old = [drop(tmp_path, name) for name in ("in/old.pdf", decomposed, "in/kept.pdf")]
    command.run("upload", path, *FAST, "--json", cwd=tmp_path, env=endpoint.env)
    old[0].rename(tmp_path / "in" / "new.pdf")
    old[1].rename(tmp_path / composed)

    planned = command.run("plan", path, "--json", cwd=tmp_path, env=endpoint.env)
    sent = command.run("upload", path, *FAST, "--json", cwd=tmp_path, env=endpoint.env)

    reasons = {each["id"]: each["reason"] for each in planned.of("action") if each["action"] == "create"}
    assert reasons["in/new.pdf"] == (
        "new, has the same bytes as the orphan `in/old.pdf`: if it was renamed, `id: in/old.pdf` keeps that"
    )
    assert reasons[composed].startswith(f"new, has the same bytes as the orphan `{decomposed}`: ")
    notices = [each["message"] for each in sent.of("notice")]
    assert f"warning: `in/new.pdf` is {reasons['in/new.pdf']}" in notices
    assert (sent.code, sent.summary["uploaded"]) == (0, 2)


def test_an_id_keeps_what_was_uploaded_under_the_old_name(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    path = manifest_in(tmp_path)
    old = drop(tmp_path, "in/old.pdf")
    command.run("upload", path, *FAST, "--json", cwd=tmp_path, env=endpoint.env)
    old.rename(tmp_path / "in" / "new.pdf")
    manifest_in(tmp_path, MANIFEST + "  - {file: in/new.pdf, id: in/old.pdf}\n")

    again = command.run("upload", path, *FAST, "--json", cwd=tmp_path, env=endpoint.env)

    assert (again.code, again.summary["uploaded"], again.summary["unchanged"]) == (0, 0, 1)


def test_the_same_bytes_in_another_batch_are_told(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    drop(tmp_path, "in/a.pdf", real_pdf("the same"))
    command.run("upload", manifest_in(tmp_path), *FAST, cwd=tmp_path, env=endpoint.env)
    drop(tmp_path, "in/b.pdf", real_pdf("the same"))
    path = manifest_in(tmp_path, MANIFEST.replace("drop-folder", "other"))

    planned = command.run("plan", path, "--json", cwd=tmp_path, env=endpoint.env)
    checked = command.run("validate", path, "--json", cwd=tmp_path, env=endpoint.env)
    sent = command.run("upload", path, *FAST, "--json", cwd=tmp_path, env=endpoint.env)

    told = [each["reason"] for each in planned.of("action") if each["action"] == "create"]
    assert len(told) == 2
    assert all(
        "new, has the same bytes as `in/a.pdf` of the batch `drop-folder`, uploaded on 20" in each for each in told
    )
    for ended in (planned, checked, sent):
        assert [each["code"] for each in ended.of("warning")] == ["same-bytes"]
        assert "`in/b.pdf` has the same bytes as `in/a.pdf`" in ended.of("warning")[0]["message"]
    assert sum("of the batch `drop-folder`" in each["message"] for each in sent.of("notice")) == 2
