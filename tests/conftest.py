"""For every test: none of the user's AWS configuration, and nothing but loopback. Servers that tests share."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.support import slow

if TYPE_CHECKING:
    from tests.support.postgres import PostgresServer

# How long an example takes says what else the machine does: it is no reason to fail.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


# What a shell without job control starts in the background ignores Ctrl-C, and so do all processes that it starts.
# Tests that interrupt the command need one that does not.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)  # xdist's, which may be absent
def pytest_xdist_auto_num_workers() -> int | None:
    """Return two workers a core, unless the user says otherwise: half of the time a test waits for seconds to pass."""
    return None if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ else 2 * (os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make test` leaves out."""
    names = slow.named(slow.LIST.read_text(encoding="utf-8"))
    for item in items:
        if slow.function_of(item.nodeid) in names:
            item.add_marker("slow")


@pytest.hookimpl(trylast=True)  # the reporter has shown its letter
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Name a test that failed on standard error at once: a run that is cut off has said what failed."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        sys.stderr.write(f"\nFAILED at {report.when}: {report.nodeid}\n")


@pytest.fixture(autouse=True)
def no_aws_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take away what would make a test talk to AWS, or pass on one machine alone."""
    for name in tuple(os.environ):
        if name.startswith(("AWS_", "BATCH_UPLOAD_")) and not name.startswith("BATCH_UPLOAD_TESTS_"):
            monkeypatch.delenv(name)
    monkeypatch.delenv(
        "PYTHONPATH", raising=False
    )  # a test that installs the wheel elsewhere would import this checkout instead
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in tuple(os.environ):
        if name.startswith("PG"):  # as libpq reads them
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    nowhere = tmp_path / "no-aws"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nowhere / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")


@pytest.fixture(scope="session")
def postgres() -> Iterator["PostgresServer"]:
    """A server of this worker's own. Tests make databases of their own in it (`new_database`), and never stop it."""
    from tests.support.postgres import program, running_postgres  # the driver takes 0.1 s to load
    from tests.support.strace import needed

    if program("initdb") is None:
        needed("PostgreSQL is not installed")
    with running_postgres() as server:
        yield server
