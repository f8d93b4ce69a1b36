"""A run goes on without what is broken: the rest is sent, and what is left out is reported until it is mended."""

import csv
import io
import json
import os
import shlex
from pathlib import Path

import pytest

from tests.support.batches import pdf
from tests.support.command import Result
from tests.support.emulator_process import running_emulator
from tests.support.endpoint import Endpoint, tags_of
from tests.support.preloaded import Preloaded

LOGIN_PAGE = b"<!DOCTYPE html><title>log in</title>"
HEAD = "version: 1\nbatch: drop\nattachments:\n"
QUICK = ("--rate", "1000", "--fixed-rate")
SKIP = (*QUICK, "--skip-invalid", "--json")


def drop_folder(folder: Path, good: int, entries: str = '  - glob: "in/*.pdf"\n', *, head: str = HEAD) -> Path:
    """Write a manifest of a folder with so many letters and one that is a web page."""
    (folder / "in").mkdir()
    for number in range(good):
        (folder / "in" / f"{number:03d}.pdf").write_bytes(pdf(f"letter {number}"))
    (folder / "in" / "broken.pdf").write_bytes(LOGIN_PAGE)
    path = folder / "drop.yaml"
    path.write_text(head + entries)
    return path


def test_of_500_files_with_a_broken_one_499_are_sent_and_the_mended_one_by_the_next_run(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    drop_folder(tmp_path, 499)

    first = command.run("upload", "drop.yaml", *SKIP, cwd=tmp_path, env=endpoint.env)
    quiet = command.run("upload", "drop.yaml", "--skip-invalid", "--quiet", cwd=tmp_path, env=endpoint.env)
    creates = endpoint.stats().creates
    (tmp_path / "in" / "broken.pdf").write_bytes(pdf("mended"))
    second = command.run("upload", "drop.yaml", *SKIP, cwd=tmp_path, env=endpoint.env)
    silent = command.run("upload", "drop.yaml", "--skip-invalid", "--quiet", cwd=tmp_path, env=endpoint.env)

    assert (first.code, first.states) == (20, {"complete": 499, "invalid": 1})
    assert (first.summary["items"], first.summary["uploaded"]) == (500, 499)
    item = first.item("in/broken.pdf")
    assert (item["state"], item["error"]["code"], item["client_token"]) == ("invalid", "unsupported-type", None)
    assert [line["code"] for line in first.of("problem")] == ["unsupported-type"]
    assert (quiet.code, quiet.stdout) == (20, "")
    assert quiet.stderr.count("`in/broken.pdf` is a web page") == 1
    assert creates == 499
    assert (second.code, second.states, second.summary["uploaded"]) == (0, {"complete": 500}, 1)
    assert (silent.code, silent.stdout, silent.stderr) == (0, "", "")
    assert len(endpoint.attachments()) == 500


def test_without_the_flag_nothing_is_sent(command: Preloaded, endpoint: Endpoint, tmp_path: Path) -> None:
    drop_folder(tmp_path, 2)
    env = {**endpoint.env, "BATCH_UPLOAD_SKIP_INVALID": "1"}

    plain = command.run("upload", "drop.yaml", cwd=tmp_path, env=endpoint.env)
    denied = command.run("upload", "drop.yaml", "--no-skip-invalid", cwd=tmp_path, env=env)
    endpoint.assert_untouched()
    by_variable = command.run("upload", "drop.yaml", "--json", cwd=tmp_path, env=env)

    assert (plain.code, denied.code) == (21, 21)
    assert "`batch-upload validate drop.yaml` lists all of them; `--skip-invalid` goes on without them" in plain.stderr
    assert (by_variable.code, by_variable.states) == (20, {"complete": 2, "invalid": 1})


def test_where_everything_is_invalid_nothing_is_sent(command: Preloaded, endpoint: Endpoint, tmp_path: Path) -> None:
    drop_folder(tmp_path, 0)

    ended = command.run("upload", "drop.yaml", *SKIP, cwd=tmp_path, env=endpoint.env)

    assert (ended.code, ended.states, ended.summary["uploaded"]) == (20, {"invalid": 1}, 0)
    assert endpoint.stats().creates == 0


@pytest.mark.parametrize(
    ("entry", "code", "name"),
    [
        ("  - file: none.pdf\n", "missing", "none.pdf"),
        ('  - glob: "empty/*.pdf"\n', "no-match", "drop.yaml:5:11"),
        ("  - file: a.pdf\n    tgas: {A: b}\n", "unknown-key", "a.pdf"),
        ("  - file: a.pdf\n    generation: two\n", "generation", "a.pdf"),
        ("  - file: a.pdf\n    tags: {A: 'x!'}\n", "tag-value", "a.pdf"),
        ("  - file: a.pdf\n    tags: {A: '{nme}'}\n", "template", "a.pdf"),
        ("  - id: a\n", "no-source", "drop.yaml:5:5"),
        ("  - 7\n", "wrong-type", "drop.yaml:5:5"),
        ("  - file: ../a.pdf\n", "outside", "../a.pdf"),
        ("  - file: a.pdf\n    target: acme\n", "targets", "a.pdf"),
        ("  - url: https://example.com/a.pdf\n", "url", "drop.yaml:5:5"),
    ],
)
def test_what_is_wrong_with_one_entry_leaves_out_that_entry(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path, entry: str, code: str, name: str
) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf("a"))
    (tmp_path / "good.pdf").write_bytes(pdf("good"))
    (tmp_path / "drop.yaml").write_text(f"{HEAD}  - file: good.pdf\n{entry}")

    validated = command.run("validate", "drop.yaml", "--skip-invalid", "--json", cwd=tmp_path)
    planned = command.run("plan", "drop.yaml", "--offline", "--skip-invalid", "--json", cwd=tmp_path)
    ended = command.run("upload", "drop.yaml", *SKIP, cwd=tmp_path, env=endpoint.env)
    reported = command.run("report", "drop.yaml", cwd=tmp_path)

    assert (validated.code, validated.states) == (20, {"pending": 1, "invalid": 1})
    assert (planned.code, planned.states) == (20, {"pending": 1, "invalid": 1})
    assert {line["id"]: line["action"] for line in planned.of("action")} == {"good.pdf": "create", name: "invalid"}
    assert (ended.code, ended.states) == (20, {"complete": 1, "invalid": 1})
    assert {line["id"]: line["state"] for line in ended.of("item")} == {"good.pdf": "complete", name: "invalid"}
    assert code in {line["code"] for line in ended.of("problem")}
    assert [each["size"] for each in endpoint.attachments()] == [len(pdf("good"))]
    assert reported.code == 0
    invalid = [row for row in csv.DictReader(io.StringIO(reported.stdout)) if row["state"] == "invalid"]
    if code != "no-match":  # of a glob without a match the ledger may have the files
        assert [(row["id"], row["error_code"]) for row in invalid] == [(name, code)]
        assert invalid[0]["error_message"]


def test_a_row_with_several_problems_leaves_out_that_row(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    (tmp_path / "a.pdf").write_bytes(pdf("a"))
    rows = (
        r'{"file": "\udcff.pdf"}',
        r'{"file": "b\nc.pdf"}',
        '{"file": "../a.pdf", "who": "x,"}',
        '{"file": "a.pdf"}',
    )
    (tmp_path / "t.jsonl").write_text("\n".join(rows))
    table = '  - table: t.jsonl\n    file: "{col:file}"\n    tags: {Who: "{col:who}"}\n'
    (tmp_path / "drop.yaml").write_text(HEAD + table)

    ended = command.run("upload", "drop.yaml", *SKIP, cwd=tmp_path, env=endpoint.env)
    reports = [
        command.run("report", "drop.yaml", "--format", each, "-o", f"r.{each}", cwd=tmp_path).code
        for each in ("csv", "jsonl", "html", "xlsx", "manifest")
    ]

    assert (ended.code, ended.states) == (20, {"complete": 1, "invalid": 3})
    assert sorted((line["line"], line["code"]) for line in ended.of("problem")) == [
        (1, "id"),
        (2, "control-character"),
        (3, "outside"),
        (3, "tag-value"),
    ]
    assert reports == [0] * 5


def test_a_name_that_is_not_utf8_is_left_out_and_reported(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    drop_folder(tmp_path, 2)
    (tmp_path / "in" / "broken.pdf").rename(os.fsdecode(os.fsencode(tmp_path) + b"/in/\xff.pdf"))

    ended = command.run("upload", "drop.yaml", *SKIP, cwd=tmp_path, env=endpoint.env)
    reported = command.run("report", "drop.yaml", "--format", "jsonl", cwd=tmp_path)
    status = command.run("status", "drop.yaml", "--json", cwd=tmp_path)

    assert (ended.code, ended.states) == (20, {"complete": 2, "invalid": 1})
    assert r"the name `in/\udcff.pdf` is not UTF-8: rename the file" in ended.stderr
    assert (reported.code, status.states) == (0, {"complete": 2, "invalid": 1})
    assert [row["id"] for row in map(json.loads, reported.stdout.splitlines()) if row["state"] == "invalid"] == [
        r"in/\udcff.pdf"
    ]


@pytest.mark.parametrize(
    "text",
    [
        HEAD.replace("version: 1", "version: 2"),
        HEAD.replace("batch: drop", "batch: Drop!"),
        HEAD.replace("attachments", "defaults: {tgas: {}}\nattachments"),
        HEAD.replace("attachments", "defaults: {tags: {A: '{nme}'}}\nattachments"),
        HEAD.replace("attachments", "target: {region: nowhere}\nattachments"),
        HEAD + "  - file: &a a.pdf\n",
        HEAD + "  - file: 'a.pdf\n",
    ],
)
def test_what_is_wrong_with_the_manifest_itself_stops_the_run(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path, text: str
) -> None:
    (tmp_path / "good.pdf").write_bytes(pdf("good"))
    (tmp_path / "drop.yaml").write_text(f"{text}  - file: good.pdf\n")

    codes = [
        command.run(*words, "--skip-invalid", cwd=tmp_path, env=endpoint.env).code
        for words in (("validate", "drop.yaml"), ("plan", "drop.yaml", "--offline"), ("upload", "drop.yaml"))
    ]

    assert codes == [21, 21, 21]
    endpoint.assert_untouched()


def test_an_id_that_is_used_twice_is_sent_for_neither(command: Preloaded, endpoint: Endpoint, tmp_path: Path) -> None:
    for name, text in {"a.pdf": "a", "b.pdf": "b", "c.pdf": "the third"}.items():
        (tmp_path / name).write_bytes(pdf(text))
    entries = ["  - {id: x, file: a.pdf}\n", "  - {id: x, file: b.pdf}\n", "  - file: c.pdf\n"]
    results = []
    for order in (entries, entries[::-1]):
        (tmp_path / "drop.yaml").write_text(HEAD + "".join(order))
        results.append(command.run("upload", "drop.yaml", *SKIP, cwd=tmp_path, env=endpoint.env))

    assert [(each.code, each.states) for each in results] == [(20, {"complete": 1, "invalid": 2})] * 2
    assert [each["size"] for each in endpoint.attachments()] == [len(pdf("the third"))]


def test_what_was_sent_and_is_invalid_now_is_neither_lost_nor_an_orphan_nor_pruned(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    drop_folder(tmp_path, 2, '  - glob: "in/*.pdf"\n  - file: one.pdf\n')
    (tmp_path / "in" / "broken.pdf").unlink()
    (tmp_path / "one.pdf").write_bytes(pdf("one"))
    first = command.run("upload", "drop.yaml", *SKIP, cwd=tmp_path, env=endpoint.env)
    (tmp_path / "one.pdf").write_bytes(LOGIN_PAGE)
    (tmp_path / "in" / "000.pdf").write_bytes(b"")

    planned = command.run("plan", "drop.yaml", "--skip-invalid", "--json", cwd=tmp_path, env=endpoint.env)
    ended = command.run("upload", "drop.yaml", *SKIP, cwd=tmp_path, env=endpoint.env)
    env = {**endpoint.env, "BATCH_UPLOAD_SKIP_INVALID": "1"}
    pruned = command.run("prune", "drop.yaml", "--yes", cwd=tmp_path, env=env)
    status = command.run("status", "drop.yaml", "--json", cwd=tmp_path)
    reported = command.run("report", "drop.yaml", "--format", "jsonl", cwd=tmp_path)

    assert (first.code, first.states) == (0, {"complete": 3})
    actions = {line["id"]: line for line in planned.of("action")}
    assert {name: line["action"] for name, line in actions.items()} == {
        "in/000.pdf": "invalid",
        "in/001.pdf": "unchanged",
        "one.pdf": "invalid",
    }
    assert actions["one.pdf"]["registration_attachment_id"]
    assert (ended.code, ended.states) == (20, {"complete": 1, "invalid": 2})
    assert ended.of("run")[0]["plan"]["orphan"] == 0
    assert ended.item("one.pdf")["registration_attachment_id"]
    assert pruned.code == 21
    assert len(endpoint.attachments()) == 3
    assert status.states == {"complete": 3}
    assert [json.loads(line)["state"] for line in reported.stdout.splitlines()] == ["complete"] * 3


def test_only_checks_what_it_chooses(command: Preloaded, endpoint: Endpoint, tmp_path: Path) -> None:
    drop_folder(tmp_path, 3, '  - glob: "in/*.pdf"\n  - file: none.pdf\n  - file: bad.pdf\n    tgas: {}\n')

    good = command.run("upload", "drop.yaml", "--only", "in/001.pdf", "--json", cwd=tmp_path, env=endpoint.env)
    broken = command.run("upload", "drop.yaml", "--only", "in/broken.pdf", cwd=tmp_path, env=endpoint.env)
    planned = command.run("plan", "drop.yaml", "--only", "in/002.pdf", "--json", cwd=tmp_path, env=endpoint.env)
    strange = command.run("upload", "drop.yaml", "--only", "in/9.pdf", cwd=tmp_path, env=endpoint.env)

    assert (good.code, good.states) == (0, {"pending": 5, "complete": 1})
    assert [each["size"] for each in endpoint.attachments()] == [len(pdf("letter 1"))]
    assert broken.code == 21
    assert "in/broken.pdf" in broken.stderr
    assert "none.pdf" not in broken.stderr
    assert (planned.code, [line["id"] for line in planned.of("action")]) == (0, ["in/002.pdf"])
    assert strange.code == 2


def test_only_a_state_looks_into_the_files_that_the_ledger_has_in_it(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    drop_folder(tmp_path, 2)
    (tmp_path / "in" / "broken.pdf").write_bytes(pdf("refused"))
    endpoint.change(fails_containing=["refused"])
    first = command.run("upload", "drop.yaml", *QUICK, "--json", cwd=tmp_path, env=endpoint.env)
    endpoint.change(fails_containing=[])
    (tmp_path / "in" / "000.pdf").write_bytes(LOGIN_PAGE)

    again = command.run("upload", "drop.yaml", "--only", "failed", *QUICK, "--json", cwd=tmp_path, env=endpoint.env)
    complete = command.run("upload", "drop.yaml", "--only", "complete", cwd=tmp_path, env=endpoint.env)

    assert (first.code, first.states) == (20, {"complete": 2, "failed": 1})
    assert (again.code, again.states) == (0, {"complete": 3})
    assert complete.code == 21


def test_a_run_that_is_killed_in_the_middle_sends_no_letter_twice(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    drop_folder(tmp_path, 40)
    words = ("upload", "drop.yaml", "--rate", "50", "--fixed-rate", "--skip-invalid", "--json")
    with command.started(*words, cwd=tmp_path, env=endpoint.env) as running:
        for _ in range(10):
            running.until("item")
        running.process.kill()

    ended = command.run(*words, cwd=tmp_path, env=endpoint.env)

    assert (ended.code, ended.states) == (20, {"complete": 40, "invalid": 1})
    tokens = [tags["batch-upload:token"] for tags in tags_of(endpoint.attachments())]
    assert len(tokens) == len(set(tokens)) == 40


def test_an_exit_code_that_wins_is_kept(command: Preloaded, endpoint: Endpoint, tmp_path: Path) -> None:
    drop_folder(tmp_path, 3)
    endpoint.change(attachments_per_account=1)

    full = command.run("upload", "drop.yaml", *SKIP, cwd=tmp_path, env=endpoint.env)
    late = command.run("upload", "drop.yaml", *SKIP, "--deadline", "1ms", cwd=tmp_path, env=endpoint.env)

    assert full.code == 27 if full.states.get("parked") else 20
    assert full.states["invalid"] == 1
    assert late.code in (20, 27)


def advised(ended: Result) -> list[list[str]]:
    """The commands that a verb advises, as words."""
    lines = (line.split("    #")[0].strip() for line in (ended.stdout + ended.stderr).splitlines())
    return [shlex.split(line)[1:] for line in lines if line.startswith("batch-upload ")]


def test_the_commands_that_a_run_advises_do_as_it_did(command: Preloaded, endpoint: Endpoint, tmp_path: Path) -> None:
    drop_folder(tmp_path, 2)
    words = ("upload", "drop.yaml", "--skip-invalid", *QUICK)

    left_out = command.run(*words, "--quiet", cwd=tmp_path, env=endpoint.env)
    endpoint.change(deny=["CreateRegistrationAttachment"])
    (tmp_path / "in" / "more.pdf").write_bytes(pdf("more"))
    denied = command.run(*words, cwd=tmp_path, env=endpoint.env)
    (tmp_path / "drop.ledger").write_bytes(b"no ledger" * 999)
    unusable = command.run(*words, cwd=tmp_path, env=endpoint.env)

    assert (left_out.code, denied.code, unusable.code) == (20, 22, 24)
    assert advised(left_out) == [["validate", "drop.yaml", "--skip-invalid"], ["upload", "drop.yaml", "--skip-invalid"]]
    for ended in (denied, unusable):
        assert [each for each in advised(ended) if each[0] == "upload"] == [["upload", "drop.yaml", "--skip-invalid"]]


def test_every_command_that_a_run_of_a_local_trial_advises_is_taken(command: Preloaded, tmp_path: Path) -> None:
    drop_folder(tmp_path, 2)

    ended = command.run("upload", "drop.yaml", "--skip-invalid", "--local", *QUICK, cwd=tmp_path)

    commands = advised(ended)
    assert [each[0] for each in commands] == ["validate", "upload"]
    assert [command.run(*each, cwd=tmp_path).code for each in commands] == [20, 20]


def test_status_names_what_the_runs_leave_out(command: Preloaded, endpoint: Endpoint, tmp_path: Path) -> None:
    drop_folder(tmp_path, 2)
    command.run("upload", "drop.yaml", *SKIP, cwd=tmp_path, env=endpoint.env)
    (tmp_path / "in" / "000.pdf").write_bytes(b"")

    status = command.run("status", "drop.yaml", cwd=tmp_path)

    assert "`upload --skip-invalid` leaves out: `in/000.pdf`" in status.stdout
    assert "sends nothing" not in status.stdout


def lanes_head(url_accounts: int) -> str:
    targets = "".join(
        f'    - {{name: t{n}, account: "{n + 1:012d}", regions: [us-east-1]}}\n' for n in range(url_accounts)
    )
    return f"version: 1\nbatch: drop\ntargets:\n  list:\n{targets}defaults: {{target: all}}\nattachments:\n"


def test_each_lane_goes_on_without_its_own_invalid_ones(command: Preloaded, tmp_path: Path) -> None:
    entries = (
        '  - glob: "in/0*.pdf"\n'
        "  - {file: in/broken.pdf, target: t0}\n"
        "  - {file: in/none.pdf, target: nowhere}\n"
        "  - {file: in/broken.pdf, id: alone, target: t2}\n"
    )
    drop_folder(tmp_path, 3, entries, head=lanes_head(3))
    path = tmp_path / "drop.yaml"
    env = {"AWS_ACCESS_KEY_ID": "999988887777", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}

    def upload(*words: str) -> Result:
        return command.run("upload", path, *SKIP, *words, cwd=tmp_path, env=env)

    with running_emulator({"rates": {"*": None}, "processing_s": 0}) as emulator:
        env["AWS_ENDPOINT_URL"] = emulator.url
        ended = upload("--local")
        only = upload("--local", "--only", "t1/us-east-1:in/001.pdf", "--no-skip-invalid")
        text = command.run("upload", path, "--skip-invalid", "--local", cwd=tmp_path, env=env)
        reported = command.run("report", path, "--local", "--only", "invalid", cwd=tmp_path, env=env)

    states = {lane["target"]: lane["states"] for lane in ended.summary["lanes"]}
    assert states == {
        "t0/us-east-1": {"complete": 3, "invalid": 2},
        "t1/us-east-1": {"complete": 3},
        "t2/us-east-1": {"complete": 3, "invalid": 1},
    }
    exits = {lane["target"]: lane["exit"]["code"] for lane in ended.summary["lanes"]}
    assert exits == {"t0/us-east-1": 20, "t1/us-east-1": 0, "t2/us-east-1": 20}
    assert (ended.code, ended.states, ended.summary["items"]) == (20, {"complete": 9, "invalid": 3}, 12)
    assert (only.code, only.summary["uploaded"]) == (0, 0)
    assert text.code == 20
    assert "t2/us-east-1:alone" in text.stderr
    rows = list(csv.DictReader(io.StringIO(reported.stdout)))
    assert [(row["target"], row["id"]) for row in rows] == [
        ("t0/us-east-1", "in/broken.pdf"),
        ("t0/us-east-1", "in/none.pdf"),
        ("t2/us-east-1", "alone"),
    ]
