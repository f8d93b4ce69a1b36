"""Outputs that are closed, full, gone or no files: the run goes on, and all others hear of its end."""

import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import termios
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from _pytest.mark import ParameterSet

from batch_upload.operations import CREATE
from tests.support.at_terminal import at_terminal
from tests.support.batches import Batch, make_batch
from tests.support.command import COMMAND, TIMEOUT_S, Result
from tests.support.endpoint import Endpoint
from tests.support.monitor import monitor
from tests.support.preloaded import Preloaded
from tests.support.terminal import terminal_of

FAST = ("--rate", "100")
OWN_DEVICES = pytest.mark.skipif(os.geteuid() != 0, reason="a device node is made by root alone")
WITNESSED = ("upload", "reconcile", "verify", "prune")
"""Verbs that take a log file, a metrics file and a monitor."""
READERS = {
    "status": ("june.yaml",),
    "report": ("june.yaml",),
    "why": ("june.yaml", "files/000.pdf"),
    "plan": ("june.yaml", "--offline"),
    "manifest schema": (),
    "manifest forms": (),
    "manifest new": ("files",),
}
"""Verbs whose answer goes to standard output, with what they are asked."""


def shell(line: str, *, cwd: Path, env: Mapping[str, str] | None = None) -> Result:
    """Run a line of the shell, in which `$bu` is the command; what it left on its own two streams."""
    ended = subprocess.run(
        ["sh", "-c", line],
        cwd=cwd,
        env={**os.environ, **(env or {}), "bu": str(COMMAND)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=False,
    )
    return Result(ended.returncode, ended.stdout, ended.stderr)


@dataclass(frozen=True, slots=True)
class Told:
    """What the files and the monitor of one run hold after its end."""

    paths: list[str]
    log: list[str]
    metrics: str

    def assert_heard_the_end(self, code: int) -> None:
        ending = {0: "", 1: "/fail"}[code]
        assert self.paths == ["/ping/canary-uuid/start", f"/ping/canary-uuid{ending}"]
        assert json.loads(self.log[-1])["event"] == "summary"
        assert json.loads(self.log[-1])["exit"]["code"] == code
        assert _number(self.metrics, "run_in_progress") == 0
        assert _number(self.metrics, "run_exit_code") == code


def _number(metrics: str, name: str) -> float:
    (line,) = [each for each in metrics.splitlines() if each.startswith(f"batch_upload_{name}{{")]
    return float(line.rpartition(" ")[2])


CLOSED = None
FULL = "/dev/full"
REDIRECTIONS: dict[str, Mapping[int, str | None]] = {
    "2>&-": {2: CLOSED},
    "2>/dev/full": {2: FULL},
    ">&-": {1: CLOSED},
    ">/dev/full": {1: FULL},
    "<&- >&- 2>&-": {0: CLOSED, 1: CLOSED, 2: CLOSED},
    ">/dev/full 2>&1": {1: FULL, 2: FULL},
}


def matrix() -> Iterator[ParameterSet]:
    """Give every verb with every redirection and flag.

    Every pair of two of them is met outside the soak; of the three together, all for `upload`.
    """
    for number, (verb, name) in enumerate(product(WITNESSED, REDIRECTIONS)):
        for flag in (None, "--json", *(("--quiet", "-vv") if verb == "upload" else ())):
            is_sampled = verb == "upload" or (flag is None) == ((number + number // len(REDIRECTIONS)) % 2 == 0)
            yield pytest.param(verb, name, flag, marks=() if is_sampled else pytest.mark.soak)


@pytest.mark.parametrize(("verb", "redirection", "flag"), list(matrix()))
def test_a_stream_that_takes_nothing_changes_neither_the_run_nor_what_the_others_hear(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path, verb: str, redirection: str, flag: str | None
) -> None:
    batch = make_batch(tmp_path, 2)
    if verb != "upload":
        command.run("upload", batch.manifest, *FAST, cwd=tmp_path, env=endpoint.env)
    flags = [each for each in (flag, "--yes" if verb == "prune" else None) if each is not None]
    redirected = REDIRECTIONS[redirection]

    with monitor() as heard:
        witnesses = ("--log-file", "run.log", "--log-format", "json", "--metrics-file", "june.prom")
        asked = (verb, batch.manifest, *flags, *witnesses, "--notify", heard.url)
        ended = command.run(*asked, cwd=tmp_path, env=endpoint.env, redirected=redirected)

    has_answer = flag == "--json" or verb == "verify"
    is_lost = has_answer and 1 in redirected
    assert ended.code == (1 if is_lost else 0)
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("error: ") == (1 if is_lost and 2 not in redirected else 0)
    log = (tmp_path / "run.log").read_text(encoding="utf-8").splitlines()
    told = Told(heard.paths, log, (tmp_path / "june.prom").read_text(encoding="utf-8"))
    told.assert_heard_the_end(ended.code)
    assert len(endpoint.attachments()) == 2


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
@pytest.mark.parametrize(("verb", "arguments"), READERS.items(), ids=READERS.keys())
def test_an_answer_that_cannot_be_delivered_is_told_in_a_sentence(
    command: Preloaded, tmp_path: Path, verb: str, arguments: tuple[str, ...], redirection: str
) -> None:
    make_batch(tmp_path, 1)
    command.run("upload", "june.yaml", "--local", cwd=tmp_path)
    local = [] if verb.startswith("manifest") else ["--local"]

    ended = command.run(*verb.split(), *arguments, *local, cwd=tmp_path, redirected=REDIRECTIONS[redirection])

    _assert_undelivered(ended, redirection)


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_the_installed_command_tells_at_its_very_end_that_its_answer_was_not_delivered(
    command: Preloaded, tmp_path: Path, redirection: str
) -> None:
    make_batch(tmp_path, 1)
    command.run("upload", "june.yaml", "--local", cwd=tmp_path)

    _assert_undelivered(shell(f'"$bu" status june.yaml --local {redirection}', cwd=tmp_path), redirection)


def _assert_undelivered(ended: Result, redirection: str) -> None:
    why = {">/dev/full": "no space left on device", ">&-": "it is closed"}[redirection]
    assert ended.code == 1
    assert f"error: cannot write to standard output: {why}\n" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "itself" not in ended.stderr


@pytest.mark.parametrize("arguments", ["--help", "--version", "upload --help", "doctor --local", "validate june.yaml"])
def test_help_and_checks_end_in_a_sentence_too(tmp_path: Path, arguments: str) -> None:
    make_batch(tmp_path, 1)

    ended = shell(f'"$bu" {arguments} >/dev/full', cwd=tmp_path)

    assert ended.code == (0 if arguments.startswith("validate") else 1)  # which says all it says to standard error
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("arguments", ["status june.yaml", "report june.yaml", "upload june.yaml --json", "--help"])
def test_a_reader_that_has_seen_enough_is_no_fault(tmp_path: Path, arguments: str) -> None:
    make_batch(tmp_path, 40)
    local = "" if arguments == "--help" else "--local"

    ended = shell(f'{{ "$bu" {arguments} {local}; echo $? >code; }} | head -1', cwd=tmp_path)

    assert (tmp_path / "code").read_text() == "0\n"
    assert len(ended.stdout.splitlines()) == 1
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("flags", [(), ("--json",), ("-v",)])
def test_a_terminal_that_is_closed_drains_the_run_and_the_others_hear_of_it(
    endpoint: Endpoint, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    batch = make_batch(tmp_path, 3)
    endpoint.faults({"action": "throttle", "operation": CREATE, "times": 1_000})
    ours, its = terminal_of(80, 24)
    with monitor() as heard:
        process = subprocess.Popen(
            [COMMAND, "upload", batch.manifest, *FAST, *flags, *("--log-file", "run.log", "--notify", heard.url)],
            cwd=tmp_path,
            env={**os.environ, **endpoint.env, "TERM": "xterm-256color"},
            stdin=its,
            stdout=its,
            stderr=its,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(its)
        seen = b""
        while b"thrott" not in seen and b"retry" not in seen:
            seen += os.read(ours, 65_536)
        os.close(ours)  # the kernel sends SIGHUP to the process, and each write fails from now on
        code = process.wait(TIMEOUT_S)

    assert code == 143
    assert heard.paths == ["/ping/canary-uuid/start", "/ping/canary-uuid/log"]
    log = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert " summary " in log.splitlines()[-1]
    assert "Traceback" not in log


def test_a_terminal_that_is_closed_while_signals_are_ignored_lets_the_run_end(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 3)
    ours, its = terminal_of(80, 24)
    process = subprocess.Popen(
        ["nohup", COMMAND, "upload", batch.manifest, *FAST, "--log-file", "run.log"],
        cwd=tmp_path,
        env={**os.environ, **endpoint.env, "TERM": "xterm-256color"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    os.close(ours)

    assert process.wait(TIMEOUT_S) == 0
    assert "complete" in (tmp_path / "run.log").read_text(encoding="utf-8").splitlines()[-1]


def test_the_log_tells_that_nobody_could_read_the_rest(endpoint: Endpoint, tmp_path: Path) -> None:
    make_batch(tmp_path, 1)

    ended = shell('"$bu" upload june.yaml --rate 100 --log-file run.log 2>/dev/full', cwd=tmp_path, env=endpoint.env)

    assert ended.code == 0
    log = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert log.count("cannot write to standard error: no space left on device") == 1


@pytest.mark.parametrize("flag", ["--log-file", "--metrics-file"])
def test_a_witness_whose_disk_is_full_leaves_the_others_alone(endpoint: Endpoint, tmp_path: Path, flag: str) -> None:
    make_batch(tmp_path, 1)
    given = {"--log-file": "run.log", "--metrics-file": "june.prom", flag: "small/file"}
    (tmp_path / "small").mkdir()
    fill = "" if flag == "--metrics-file" else "ln -s /dev/full small/file;"
    files = " ".join(f"{name} {path}" for name, path in given.items())
    with monitor() as heard:
        lose = "" if fill else "rm -r small;"
        run = f'"$bu" upload june.yaml --rate 100 --json {files} --notify {heard.url}'
        ended = shell(f"{fill} {run} | {{ read -r first; {lose} cat; }}", cwd=tmp_path, env=endpoint.env)

    assert ended.summary["exit"]["code"] == 0
    assert heard.paths == ["/ping/canary-uuid/start", "/ping/canary-uuid"]
    assert ended.stderr.count("`small/file` cannot be written any more") == 1


# What stands where an output goes.


def _uploaded(command: Preloaded, folder: Path) -> Batch:
    batch = make_batch(folder, 2)
    assert command.run("upload", batch.manifest, "--local", *FAST, cwd=folder).code == 0
    return batch


REPORT: tuple[str, ...] = ("report", "june.yaml", "--local", "-o")
NEW: tuple[str, ...] = ("manifest", "new", "files", "-o")
HEADS = {REPORT: "id,source,sha256", NEW: "# yaml-language-server"}


@pytest.mark.parametrize("asked", [REPORT, NEW], ids=["report", "manifest new"])
def test_a_pipe_is_written_through(command: Preloaded, tmp_path: Path, asked: tuple[str, ...]) -> None:
    _uploaded(command, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    read = list[str]()
    reader = Thread(target=lambda: read.append((tmp_path / "pipe").read_text(encoding="utf-8")), daemon=True)
    reader.start()

    ended = command.run(*asked, "pipe", cwd=tmp_path)

    reader.join(TIMEOUT_S)
    assert ended.code == 0, ended.stderr
    assert read[0].startswith(HEADS[asked])
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


@OWN_DEVICES
@pytest.mark.parametrize("asked", [REPORT, NEW], ids=["report", "manifest new"])
def test_a_device_stays_a_device(command: Preloaded, tmp_path: Path, asked: tuple[str, ...]) -> None:
    _uploaded(command, tmp_path)
    null, full = tmp_path / "null", tmp_path / "full"
    os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(full, stat.S_IFCHR | 0o666, os.makedev(1, 7))
    (tmp_path / "link").symlink_to("null")

    taken = [command.run(*asked, name, cwd=tmp_path) for name in ("null", "link")]
    refused = command.run(*asked, "full", cwd=tmp_path)

    assert [each.code for each in taken] == [0, 0]
    assert refused.code == 1
    assert "error: `full` cannot be written: no space left on device\n" in refused.stderr
    assert all(stat.S_ISCHR(each.stat().st_mode) for each in (null, full))
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("asked", [REPORT, NEW], ids=["report", "manifest new"])
def test_a_disk_that_takes_no_more_leaves_the_old_file_and_nothing_else(
    command: Preloaded, tmp_path: Path, asked: tuple[str, ...]
) -> None:
    batch = make_batch(tmp_path, 40)
    (tmp_path / "out").write_text("old")
    before = sorted(path.name for path in tmp_path.iterdir())
    (tmp_path / "table.csv").write_text("file\n" + "\n".join(batch.ids))
    words = " ".join(asked).replace("files", "table.csv --force --rows") + " out"

    ended = shell(f'ulimit -f 2; "$bu" {words}', cwd=tmp_path)  # 1 KiB in dash, 2 KiB in bash

    assert ended.code == 1, ended.stderr
    assert "error: `out` cannot be written: file too large\n" in ended.stderr
    assert "itself" not in ended.stderr
    assert (tmp_path / "out").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*before, "table.csv"])


def test_a_disk_that_takes_no_schema_leaves_the_old_manifest_and_nothing_else(
    command: Preloaded, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 2)
    (tmp_path / "out").write_text("old")
    (tmp_path / "table.csv").write_text("file\n" + "\n".join(batch.ids))
    before = sorted(path.name for path in tmp_path.iterdir())

    ended = shell('ulimit -f 2; "$bu" manifest new table.csv --force -o out', cwd=tmp_path)  # a short manifest

    assert ended.code == 1, ended.stderr
    assert "manifest.schema.json` cannot be written: file too large\n" in ended.stderr
    assert (tmp_path / "out").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@OWN_DEVICES
def test_a_disk_is_refused(command: Preloaded, tmp_path: Path) -> None:
    _uploaded(command, tmp_path)
    os.mknod(tmp_path / "disk", stat.S_IFBLK | 0o666, os.makedev(7, 250))

    ended = command.run(*REPORT, "disk", cwd=tmp_path)

    assert (ended.code, "`disk` is a disk" in ended.stderr) == (2, True)
    assert stat.S_ISBLK((tmp_path / "disk").stat().st_mode)


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "link"])
@pytest.mark.parametrize("asked", [REPORT, NEW], ids=["report", "manifest new"])
def test_standard_output_by_its_name_is_standard_output(
    command: Preloaded, tmp_path: Path, asked: tuple[str, ...], name: str
) -> None:
    _uploaded(command, tmp_path)
    (tmp_path / "link").symlink_to("/dev/stdout")
    (tmp_path / "out").write_text("before\n")

    ended = shell(f'"$bu" {" ".join(asked)} {name} >>out', cwd=tmp_path)

    assert ended.code == 0, ended.stderr
    assert (tmp_path / "out").read_text(encoding="utf-8").startswith(f"before\n{HEADS[asked]}")
    assert (tmp_path / "link").is_symlink()
    assert not (tmp_path / "-").exists()


def test_another_descriptor_of_the_shell_is_written_through(command: Preloaded, tmp_path: Path) -> None:
    _uploaded(command, tmp_path)

    ended = shell('{ echo before >&5; "$bu" report june.yaml --local -o /dev/fd/5; } 5>out', cwd=tmp_path)

    assert ended.code == 0, ended.stderr
    assert (tmp_path / "out").read_text(encoding="utf-8").startswith("before\nid,source")


@pytest.mark.parametrize("asked", [(*REPORT,), (*NEW,)], ids=["report", "manifest new"])
def test_a_link_is_followed_and_the_mode_of_its_target_is_kept(
    command: Preloaded, tmp_path: Path, asked: tuple[str, ...]
) -> None:
    _uploaded(command, tmp_path)
    real, link = tmp_path / "real.out", tmp_path / "latest.out"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to("real.out")
    force = ("--force",) if asked == NEW else ()

    ended = command.run(*asked, "latest.out", *force, cwd=tmp_path)

    assert ended.code == 0, ended.stderr
    assert link.is_symlink()
    assert real.read_text(encoding="utf-8").startswith(HEADS[asked])
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


@pytest.mark.parametrize("asked", [(*REPORT,), (*NEW,)], ids=["report", "manifest new"])
@pytest.mark.parametrize(("umask", "mode"), [("022", 0o644), ("077", 0o600), ("002", 0o664)])
def test_a_new_file_has_the_mode_that_the_umask_leaves(
    command: Preloaded, tmp_path: Path, asked: tuple[str, ...], umask: str, mode: int
) -> None:
    _uploaded(command, tmp_path)

    ended = shell(f'umask {umask}; "$bu" {" ".join(asked)} new.out', cwd=tmp_path)

    assert ended.code == 0, ended.stderr
    assert stat.S_IMODE((tmp_path / "new.out").stat().st_mode) == mode


@pytest.mark.parametrize("asked", [(*REPORT,), (*NEW,)], ids=["report", "manifest new"])
def test_what_cannot_be_an_output_is_a_fault_of_usage(
    command: Preloaded, tmp_path: Path, asked: tuple[str, ...]
) -> None:
    _uploaded(command, tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listening:
        (tmp_path / "s").symlink_to(_bound(listening, tmp_path))
        ended = {name: command.run(*asked, name, cwd=tmp_path) for name in ("folder", "s", "loop", "no/where")}

    assert {name: each.code for name, each in ended.items()} == dict.fromkeys(ended, 2)
    assert "`folder` is a folder" in ended["folder"].stderr
    assert "`s` is a socket" in ended["s"].stderr
    assert list((tmp_path / "folder").iterdir()) == []
    assert (tmp_path / "loop").is_symlink()


def _bound(listening: socket.socket, folder: Path) -> Path:
    """A socket's file; its name may be no longer than 108 bytes, which a test's folder can exceed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        listening.bind(f"/proc/self/fd/{descriptor}/socket")
    finally:
        os.close(descriptor)
    return folder / "socket"


# What the run reads or owns.

OWN = ("june.yaml", "june.local.ledger", "june.local.ledger.lock", "june.local.service", "files/000.pdf")
BESIDE = ("june.local.ledger-wal", "june.local.ledger-shm", "june.local.ledger-journal")
"""Files of the ledger that are not there while nothing runs."""


def _content(folder: Path) -> dict[str, bytes]:
    """What is in a folder, but for what a reader of a database keeps beside it while it reads."""
    paths = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def _as_it_is(folder: Path, name: str) -> str:
    return name


def _by_a_link(folder: Path, name: str) -> str:
    (folder / "other").symlink_to(name)
    return "other"


def _by_a_hard_link(folder: Path, name: str) -> str:
    with suppress(FileNotFoundError):
        (folder / "other").hardlink_to(folder / name)
    return "other" if (folder / "other").exists() else name


def _by_another_spelling(folder: Path, name: str) -> str:
    return f"{folder}/files/../{name}"


SPELLED = (_as_it_is, _by_a_link, _by_a_hard_link, _by_another_spelling)
ASKED = (
    REPORT,
    ("upload", "june.yaml", "--local", "--metrics-file"),
    ("upload", "june.yaml", "--local", "--log-file"),
    ("plan", "june.yaml", "--local", "--log-file"),
)


@pytest.mark.parametrize(
    ("asked", "spelled"),
    [
        pytest.param(
            *(asked, spelled),
            marks=() if asked is REPORT or number == place else pytest.mark.soak,
            id=f"{asked[0]} {asked[-1]}-{spelled.__name__}",
        )
        for number, asked in enumerate(ASKED)
        for place, spelled in enumerate(SPELLED)
    ],
)
def test_no_output_replaces_a_file_of_the_run(
    command: Preloaded, tmp_path: Path, asked: tuple[str, ...], spelled: Callable[[Path, str], str]
) -> None:
    _uploaded(command, tmp_path)
    before = _content(tmp_path)

    for name in (*OWN, *BESIDE):
        output = spelled(tmp_path, name)
        ended = command.run(*asked, output, cwd=tmp_path)
        (tmp_path / "other").unlink(missing_ok=True)

        assert ended.code == 2, (name, ended.stderr)
        assert f"`{asked[-1]} {output}`" in ended.stderr
        assert _content(tmp_path) == before, name


@pytest.mark.parametrize("flag", ["--log-file", "--metrics-file"])
def test_a_ledger_that_only_the_manifest_names_is_safe_before_it_is_there(
    command: Preloaded, tmp_path: Path, flag: str
) -> None:
    make_batch(tmp_path, 1, extra="ledger: kept/acme.db")
    (tmp_path / "kept").mkdir()

    ended = command.run("upload", "june.yaml", flag, "kept/acme.db", cwd=tmp_path)

    assert (ended.code, list((tmp_path / "kept").iterdir())) == (2, [])
    assert "is a file of the ledger" in ended.stderr


def test_outputs_of_one_command_must_differ(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    make_batch(tmp_path, 1)
    both = ("--log-file", "one", "--metrics-file", "one")

    ended = command.run("upload", "june.yaml", *both, cwd=tmp_path, env=endpoint.env)
    torn = shell('"$bu" upload june.yaml --json --log-file out >>out', cwd=tmp_path, env=endpoint.env)
    self = shell('"$bu" report june.yaml -o out 2>>out', cwd=tmp_path, env=endpoint.env)

    assert [each.code for each in (ended, torn, self)] == [2, 2, 2]
    assert "`--metrics-file one` is the log file" in ended.stderr
    assert "`-o out` is standard error" in (tmp_path / "out").read_text()
    endpoint.assert_untouched()


def test_metrics_replace_nothing_but_metrics(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    make_batch(tmp_path, 1)
    (tmp_path / "notes.txt").write_text("not to be lost")

    ended = command.run("upload", "june.yaml", "--metrics-file", "notes.txt", cwd=tmp_path, env=endpoint.env)

    assert (ended.code, (tmp_path / "notes.txt").read_text()) == (2, "not to be lost")
    endpoint.assert_untouched()


@pytest.mark.parametrize("name", ["files/000.pdf", "table.csv"])
def test_a_new_manifest_replaces_nothing_that_it_is_made_of(command: Preloaded, tmp_path: Path, name: str) -> None:
    make_batch(tmp_path, 1)
    (tmp_path / "table.csv").write_text("file\nfiles/000.pdf\n")
    before = _content(tmp_path)

    ended = command.run("manifest", "new", "table.csv", "-o", name, "--force", cwd=tmp_path)

    assert ended.code == 2
    assert _content(tmp_path) == before


# Terminals and strangers.


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_report_to_a_terminal_escapes_what_would_steer_it(command: Preloaded, tmp_path: Path, form: str) -> None:
    item_id = "a\u202eb"
    batch = make_batch(tmp_path, 1)
    entry = f"attachments:\n  - {{file: files/000.pdf, id: {json.dumps(item_id)}}}\n"
    batch.path.write_text(f"version: 1\nbatch: b\n{entry}", encoding="utf-8")

    shown = at_terminal("report", batch.manifest, "--format", form, cwd=tmp_path, env={}, columns=200)
    written = command.run("report", batch.manifest, "--format", form, "-o", "out", cwd=tmp_path)

    assert (shown.code, written.code) == (0, 0), shown.text + written.stderr
    assert r"a\u202eb" in shown.text
    assert item_id not in shown.text
    out = (tmp_path / "out").read_text(encoding="utf-8")
    assert item_id in (out if form == "csv" else json.loads(out)["id"])


def test_a_malformed_request_to_watch_prints_nothing(tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 1)

    with command.started("watch", batch.manifest, "--json", cwd=tmp_path) as watch:
        port = urlsplit(watch.until("listening")["url"]).port
        with socket.create_connection(("127.0.0.1", port or 0), timeout=TIMEOUT_S) as stranger:
            stranger.sendall(b"\x16\x03\x01 nonsense\r\n\r\n")
            answer = stranger.recv(4_096)
        watch.signal(signal.SIGTERM)
        ended = watch.finish()

    assert b"400" in answer.split(b"\r\n")[0]
    assert ended.code == 143
    assert "Traceback" not in ended.stderr
    assert "Error handling request" not in ended.stderr
