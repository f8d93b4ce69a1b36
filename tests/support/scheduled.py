"""The files of `deploy/` as their schedulers read them, and a start in an environment as bare as theirs."""

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.support.command import COMMAND, TIMEOUT_S, Result
from tests.support.emulator_process import ROOT
from tests.support.strace import needed

DEPLOY = ROOT / "deploy"
CRONTAB = DEPLOY / "crontab"
SERVICE = DEPLOY / "systemd" / "batch-upload@.service"
TIMER = DEPLOY / "systemd" / "batch-upload@.timer"
INSTALLED = "/opt/batch-upload/bin/batch-upload"
"""Where the files of `deploy/` expect the command."""
SYSTEM_PATH = "/usr/bin:/bin"
_VARIABLE = re.compile(r"^(?P<name>[A-Z_]+)=(?P<value>.*)$")


def require(tool: str) -> None:
    """Skip the test where this tool of the system is absent, or fail it where nothing may be skipped."""
    if shutil.which(tool) is None:
        needed(f"`{tool}` is not installed")


@dataclass(frozen=True, slots=True)
class Crontab:
    """The variables of a crontab and its one entry."""

    variables: Mapping[str, str]
    schedule: str
    command: str


def crontab_of(text: str) -> Crontab:
    """What cron reads of it, by crontab(5): comments, `NAME=value`, then five fields and the rest of the line."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    variables = [found for line in lines if (found := _VARIABLE.match(line))]
    (entry,) = [line for line in lines if not _VARIABLE.match(line)]
    *fields, command = entry.split(maxsplit=5)
    return Crontab({each["name"]: each["value"] for each in variables}, " ".join(fields), command)


def unit_of(path: Path) -> dict[str, list[str]]:
    """The settings of a unit by name, in the order in which they stand."""
    settings: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            settings.setdefault(name, []).append(value)
    return settings


def verified_units(folder: Path, units: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Return what systemd says of units, by file name, on a machine where the command is installed. Starts nothing."""
    parent, command = folder / "etc/systemd/system", folder / INSTALLED.removeprefix("/")
    for each in (parent, command.parent):
        each.mkdir(parents=True)
    command.touch(mode=0o755)
    for name, text in units.items():
        (parent / name).write_text(text)
    instances = [name.replace("@", "@june") for name in units]
    verify = ("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", f"--root={folder}", *instances)
    return subprocess.run(verify, capture_output=True, text=True, check=False)


def bare_environment(home: Path) -> dict[str, str]:
    """What cron gives a process, and that no test asks the network for credentials."""
    given = {"HOME": str(home), "LOGNAME": "nobody", "SHELL": "/bin/sh", "PATH": SYSTEM_PATH}
    return {**given, "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def started_bare(
    arguments: Sequence[str | Path], *, home: Path, variables: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Start a process with what cron gives it (`HOME`, `LOGNAME`, `SHELL`, `PATH`) and these, at `/`, without a TTY."""
    with subprocess.Popen(
        arguments,
        cwd="/",
        env={**bare_environment(home), **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                kill_all(process)


def kill_all(process: "subprocess.Popen[str]") -> None:
    """SIGKILL to a process that was started bare and to what it started: cron's shell stays beside its command."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=TIMEOUT_S)


def ended(process: subprocess.Popen[str]) -> Result:
    """Wait until it ends."""
    out, err = process.communicate(timeout=TIMEOUT_S)
    return Result(process.returncode, out, err)


def run_bare(arguments: Sequence[str | Path], *, home: Path, variables: Mapping[str, str]) -> Result:
    """`started_bare`, to its end."""
    with started_bare(arguments, home=home, variables=variables) as process:
        return ended(process)


@dataclass(frozen=True, slots=True)
class CronJob:
    """The line of `deploy/crontab` on this machine: its command as it stands, its variables as a user edits them."""

    home: Path
    manifest: Path

    @property
    def command(self) -> str:
        return crontab_of(CRONTAB.read_text(encoding="utf-8")).command

    @property
    def arguments(self) -> list[str]:
        return ["/bin/sh", "-c", self.command]

    @property
    def variables(self) -> dict[str, str]:
        found = crontab_of(CRONTAB.read_text(encoding="utf-8")).variables
        return {**found, "PATH": f"{COMMAND.parent}:{SYSTEM_PATH}", "MANIFEST": str(self.manifest)}

    def run(self, more: Mapping[str, str] | None = None) -> Result:
        """Once, to its end; `more` are variables that a user has added to the crontab."""
        return run_bare(self.arguments, home=self.home, variables={**self.variables, **(more or {})})

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[str]]:
        with started_bare(self.arguments, home=self.home, variables=self.variables) as process:
            yield process


def service_command(*, manifest: Path, state: Path) -> list[str]:
    """`ExecStart` of the service for the instance that this manifest is, its specifiers and paths replaced."""
    (line,) = unit_of(SERVICE)["ExecStart"]
    named = {"/srv/batch-upload": str(manifest.parent), "%i": manifest.stem, "%S/batch-upload": str(state)}
    for written, here in named.items():
        line = line.replace(written, here)
    command, *arguments = shlex.split(line)
    if command != INSTALLED:
        raise ValueError(f"`{command}` is not where the other files of deploy/ expect it")
    return [str(COMMAND), *arguments]


def write_profile(home: Path, name: str, *, endpoint_url: str) -> None:
    """What `aws configure` leaves in a home, with an endpoint on this machine."""
    folder = home / ".aws"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config").write_text(f"[profile {name}]\nregion = us-east-1\nendpoint_url = {endpoint_url}\n")
    (folder / "credentials").write_text(
        f"[{name}]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = not-a-secret\n"
    )


@cache
def allowed_system_calls(filters: tuple[str, ...]) -> frozenset[str]:
    """The system calls that a unit's `SystemCallFilter=` lines leave, by the groups of this machine's systemd."""
    allowed = set(_group("@default"))
    for line in filters:
        named = {call for group in line.removeprefix("~").split() for call in _group(group)}
        allowed = allowed - named if line.startswith("~") else allowed | named
    return frozenset(allowed | _group("@default"))


@cache
def _group(name: str) -> frozenset[str]:
    if not name.startswith("@"):
        return frozenset({name})
    told = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
    members = [line.strip() for line in told.stdout.splitlines()[1:]]
    return frozenset(call for member in members if not member.startswith("#") for call in _group(member))
