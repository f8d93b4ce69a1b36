"""The way to AWS is barred for good: exit 22 at once, a few lines that name cause and remedy, and never a retry.

Each case runs in an environment as bare as cron's: no variable of the test's, no Region but the one it sets.
"""

import shlex
import string
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.barred import BARRED, PROFILE, SECRET, Barred, Home, write_home
from tests.support.batches import make_batch
from tests.support.command import COMMAND, Result
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded
from tests.support.resolver import NO_SERVER, resolving
from tests.support.scheduled import CronJob, bare_environment, require, run_bare

MAIL_LINES = 12
CHECKS = [
    "programs", "encoding", "manifest", "region", "endpoint", "proxy", "tls", "credentials", "account",
    "may DescribeAccountLimits", "may DescribeRegistrationAttachments", "may ListTagsForResource", "clock", "capacity",
    "ledger", "ledger disk",
]  # fmt: skip

every_way = pytest.mark.parametrize("case", BARRED, ids=lambda case: case.name)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return make_batch(tmp_path / "srv", 2).path


@contextmanager
def laid(case: Barred, folder: Path, service: str) -> Iterator[Home]:
    home = folder / "home"
    home.mkdir()
    yield from case.lay(home, service)


def run(command: Preloaded, home: Home, *arguments: str | Path) -> Result:
    variables = {"AWS_PROFILE": PROFILE, "LANG": "C.UTF-8", **home.variables}
    if home.prefix:
        return run_bare([*home.prefix, COMMAND, *arguments], home=home.path, variables=variables)
    return command.run(*arguments, cwd=Path("/"), base=bare_environment(home.path), env=variables)


@every_way
def test_an_upload_ends_at_once_and_says_what_to_do(
    command: Preloaded, case: Barred, endpoint: Endpoint, manifest: Path, tmp_path: Path
) -> None:
    with laid(case, tmp_path, endpoint.url) as home:
        ended = run(command, home, "upload", manifest, "--json")

    assert (ended.code, ended.summary["exit"]["name"]) == (22, "access")
    for text in case.says:
        assert text in ended.stderr
    assert "Traceback" not in ended.stderr
    assert SECRET not in ended.stdout + ended.stderr
    assert ended.of("retrying") == []
    assert sum(ended.summary["requests"].values()) <= 1
    assert endpoint.stats().creates == 0


@every_way
def test_the_line_of_the_crontab_mails_once_and_shortly(
    command: Preloaded, case: Barred, endpoint: Endpoint, manifest: Path, tmp_path: Path
) -> None:
    """cron's shell does the same in tests/scenarios/test_deploy_cron.py."""
    with laid(case, tmp_path, endpoint.url) as home:
        job = CronJob(home.path, manifest)
        name, *arguments = shlex.split(string.Template(job.command).substitute(job.variables))
        ended = run(command, replace(home, variables={**job.variables, **home.variables}), *arguments)

    lines = ended.stderr.splitlines()
    assert (name, ended.code, ended.stdout) == (COMMAND.name, 22, "")
    assert len(lines) <= MAIL_LINES
    for text in case.says:
        assert text in ended.stderr
    assert "Traceback" not in ended.stderr
    assert SECRET not in ended.stderr


@every_way
def test_doctor_makes_every_check_and_names_the_cause(
    command: Preloaded, case: Barred, endpoint: Endpoint, manifest: Path, tmp_path: Path
) -> None:
    with laid(case, tmp_path, endpoint.url) as home:
        ended = run(command, home, "doctor", manifest, "--json")

    made = [line["check"] for line in ended.of("check")]
    told = " ".join(f"{line['message']} {line['hint']}" for line in ended.of("check") if line["verdict"] == "fail")
    assert ended.code == 22
    assert made == CHECKS
    for text in case.says:
        assert text in told
    assert ended.stderr.count("Traceback") == 0
    assert SECRET not in ended.stdout + ended.stderr


def test_a_region_is_no_fault_of_access_while_no_name_server_answers(
    command: Preloaded, manifest: Path, tmp_path: Path
) -> None:
    """A new Region looks the same to a machine whose name server is down, which mends itself."""
    require("unshare")
    home = Home(write_home(tmp_path, "region = us-esat-1\n"), prefix=resolving(NO_SERVER))

    ended = run(command, home, "upload", manifest, "--deadline", "2s", "--json")

    assert ended.code == 12, ended.stderr
    assert "`us-esat-1` is not among the Regions" in ended.stderr
    assert "has no address" not in ended.stderr
