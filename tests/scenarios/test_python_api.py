"""The package as a library: what the command does, from another program."""

import asyncio
import gc
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

import batch_upload
from batch_upload import BatchUploadError, Interruption, RunOptions, RunResult, plan, status, upload, validate, verify
from batch_upload.actions import ActionKind
from batch_upload.errors import AccessFault, ExitCode, LedgerLocked, LedgerUnusable, ManifestInvalid, UsageError
from batch_upload.events import ItemChanged
from batch_upload.model import State
from batch_upload.operations import CREATE
from tests.support.batches import assert_each_once, make_batch, token_of
from tests.support.emulator_process import running_emulator
from tests.support.endpoint import CREDENTIALS, Endpoint
from tests.support.process_state import descriptors, process_state

JOINED_S = 60
PAGE = Path(__file__).parents[2] / "docs" / "python.md"
FAST = RunOptions(rate=1_000)
PROGRAM = """
import asyncio, sys
from batch_upload import RunOptions, upload

result = asyncio.run(upload("june.yaml", RunOptions(rate=1000)))
print(result.summary.exit.name, result.summary.uploaded)
"""


class AfterCreates:
    """An observer that calls `act` once, as soon as `count` items were created."""

    def __init__(self, count: int, act: Callable[[], object]) -> None:
        self.created = 0
        self._count = count
        self._act = act

    def notify(self, event: object) -> None:
        if isinstance(event, ItemChanged) and event.created:
            self.created += 1
            if self.created == self._count:
                self._act()


@pytest.fixture
def service(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    """The endpoint, which the environment of this process names."""
    for name, value in endpoint.env.items():
        monkeypatch.setenv(name, value)
    return endpoint


def test_every_public_name_can_be_imported_and_no_other_is_there() -> None:
    values = [getattr(batch_upload, name) for name in batch_upload.__all__]

    assert all(callable(value) for value in values)
    assert set(batch_upload.__all__) <= set(dir(batch_upload))
    with pytest.raises(AttributeError, match="no attribute 'download'"):
        batch_upload.download  # type: ignore[attr-defined]  # noqa: B018 - it is the look-up that fails


def test_a_program_uploads_and_a_second_run_finds_nothing_to_do(endpoint: Endpoint, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 5)

    ended = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            capture_output=True,
            text=True,
            check=True,
            timeout=JOINED_S,
            cwd=tmp_path,
            env={**endpoint.env, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"},
        )
        for _ in range(2)
    ]

    assert [each.stdout for each in ended] == ["done 5\n", "done 0\n"]
    assert [each.stderr for each in ended] == ["", ""]
    assert_each_once(endpoint, batch)


def test_the_program_of_the_page_runs_and_says_how_it_went(endpoint: Endpoint, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 3)
    programs = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "program.py").write_text(programs[0])
    (tmp_path / "wrong.yaml").write_text("version: 1\nbatch: june\nattachments:\n  - file: gone.pdf\n")

    def ran(manifest: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "program.py", manifest],
            capture_output=True,
            text=True,
            check=False,
            timeout=JOINED_S,
            cwd=tmp_path,
            env={**endpoint.env, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"},
        )

    good, bad = ran("june.yaml"), ran("wrong.yaml")

    assert (len(programs), good.returncode, good.stderr) == (1, 0, "")
    lines = good.stdout.splitlines()
    assert sorted(line.split()[:2] for line in lines[:3]) == [[item_id, "complete"] for item_id in batch.ids]
    assert lines[3:] == ["3 uploaded, done: done, or nothing to do", "3 of 3 agree with the service"]
    assert (bad.returncode, bad.stderr) == (21, "")
    assert bad.stdout.startswith("error: 1 problem in `wrong.yaml`")
    assert_each_once(endpoint, batch)


async def test_in_a_loop_that_already_runs_values_come_back(service: Endpoint, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 5)

    found = await validate(batch.path)
    planned = await plan(batch.path, FAST)
    result = await upload(str(batch.path), FAST)
    ledger = await status(batch.path, FAST)
    verification = await verify(batch.path, FAST, tags=True)

    assert (found.items, found.problems) == (5, ())
    assert (planned.plan.counts[ActionKind.CREATE], planned.has_work) == (5, True)
    assert (ledger.states, ledger.last_run is not None) == ({State.COMPLETE: 5}, True)
    assert isinstance(result, RunResult)
    assert (result.summary.exit.code, result.summary.uploaded, dict(result.known)) == (ExitCode.DONE, 5, {})
    assert verification.summary.exit.code is ExitCode.DONE
    assert (verification.comparison.agreeing, verification.comparison.tags_compared) == (5, 5)
    assert (verification.summary.account, verification.summary.region) == (service.account, "us-east-1")
    assert_each_once(service, batch)


async def test_a_disagreement_is_a_result_of_verify_and_no_error(service: Endpoint, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 3)
    await upload(batch.path, FAST)
    service.set_status(service.attachments()[0]["id"], "DELETED")

    verification = await verify(batch.path, FAST)

    assert verification.summary.exit.code is ExitCode.DISAGREEMENT
    assert [each.kind.value for each in verification.comparison.findings] == ["deleted"]


async def test_two_runs_at_once_in_one_process_keep_apart(service: Endpoint, tmp_path: Path) -> None:
    here, there = make_batch(tmp_path / "here", 8), make_batch(tmp_path / "there", 6)
    service.faults({"action": "slow", "operation": CREATE, "seconds": 0.05})
    with running_emulator({"account": "111122223333", "rates": {"*": None}}) as other:
        runs = [
            upload(here.path, RunOptions(rate=1_000, concurrency=2)),
            upload(there.path, RunOptions(rate=1_000, concurrency=2, endpoint_url=other.url)),
        ]
        results = await asyncio.gather(*runs)
        held = Counter(each["client_token"] for each in other.attachments())

    assert [each.summary.exit.code for each in results] == [ExitCode.DONE, ExitCode.DONE]
    assert [each.summary.uploaded for each in results] == [8, 6]
    assert [each.summary.account for each in results] == [service.account, "111122223333"]
    assert held == Counter(token_of(name, content) for name, content in there.documents.items())
    assert_each_once(service, here)


def test_a_thread_that_is_not_the_main_one_can_run_it(service: Endpoint, tmp_path: Path) -> None:
    batch, results = make_batch(tmp_path, 5), list[RunResult]()

    thread = threading.Thread(target=lambda: results.append(anyio.run(upload, batch.path, FAST)))
    thread.start()
    thread.join(JOINED_S)

    assert [each.summary.exit.code for each in results] == [ExitCode.DONE]
    assert_each_once(service, batch)


def test_nothing_of_the_process_is_changed_while_it_runs_or_afterwards(service: Endpoint, tmp_path: Path) -> None:
    batch, during = make_batch(tmp_path, 5), list[dict[str, object]]()
    anyio.run(validate, batch.path)  # imports are once
    anyio.run(upload, make_batch(tmp_path / "first", 1).path, FAST)
    gc.collect()  # or what an earlier test left open is closed meanwhile, and missing afterwards
    before, open_before = process_state(), descriptors()

    async def use() -> None:
        await validate(batch.path)
        in_loop = process_state()  # the loop itself has a wake-up descriptor and handlers of its own
        await upload(batch.path, FAST, observer=AfterCreates(2, lambda: during.append(process_state())))
        await verify(batch.path, FAST, tags=True)
        await plan(batch.path, FAST)
        await status(batch.path, FAST)
        assert during == [in_loop]

    anyio.run(use)

    assert process_state() == before
    assert descriptors() == open_before


async def test_cancelled_in_the_middle_and_run_again_each_item_is_there_once(service: Endpoint, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 20)
    service.faults({"action": "slow", "operation": CREATE, "seconds": 0.05})
    stopped = AfterCreates(5, lambda: task.cancel())
    task = asyncio.create_task(upload(batch.path, FAST, observer=stopped))

    with pytest.raises(asyncio.CancelledError):
        await task
    again = await upload(batch.path, FAST)

    assert 5 <= stopped.created < 20
    assert again.summary.exit.code is ExitCode.DONE
    assert again.summary.states == {"complete": 20}
    assert_each_once(service, batch)


async def test_an_interruption_lets_what_is_in_flight_end_and_the_next_run_goes_on(
    service: Endpoint, tmp_path: Path
) -> None:
    batch, interruption = make_batch(tmp_path, 20), Interruption()
    service.faults({"action": "slow", "operation": CREATE, "seconds": 0.05})
    observer = AfterCreates(5, lambda: interruption.interrupt(ExitCode.TERMINATED, "the program"))

    result = await upload(batch.path, FAST, observer=observer, interruption=interruption)
    held = len(service.attachments())
    again = await upload(batch.path, FAST)

    assert result.summary.exit.code is ExitCode.TERMINATED
    assert "sending" not in result.summary.states
    assert result.summary.uploaded == held < 20
    assert (again.summary.exit.code, again.summary.uploaded) == (ExitCode.DONE, 20 - held)
    assert_each_once(service, batch)


async def test_a_second_run_of_the_same_manifest_is_refused_while_the_first_goes_on(
    service: Endpoint, tmp_path: Path
) -> None:
    batch, created = make_batch(tmp_path, 5), asyncio.Event()
    service.faults({"action": "slow", "operation": CREATE, "seconds": 0.1})

    first = asyncio.create_task(upload(batch.path, RunOptions(concurrency=1), observer=AfterCreates(1, created.set)))
    await created.wait()
    with pytest.raises(LedgerLocked) as refused:
        await upload(batch.path, FAST)
    first.cancel()
    await asyncio.wait([first])

    assert refused.value.exit_code is ExitCode.LOCKED


async def test_what_prevents_a_run_is_an_error_that_says_what_to_do(service: Endpoint, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 2)
    (tmp_path / "broken.ledger").write_text("no database")
    (tmp_path / "gone.yaml").write_text("version: 1\nbatch: june\nattachments:\n  - file: gone.pdf\n  - file: x.pdf\n")

    with pytest.raises(ManifestInvalid) as invalid:
        await upload(tmp_path / "gone.yaml", FAST)
    with pytest.raises(UsageError, match="neither a state nor an id"):
        await upload(batch.path, RunOptions(only_ids=frozenset({"nope"})))
    with pytest.raises(LedgerUnusable):
        await upload(batch.path, RunOptions(ledger=tmp_path / "broken.ledger"))
    with pytest.raises(AccessFault) as access:
        await verify(batch.path, RunOptions(profile="no-such-profile"))

    assert issubclass(ManifestInvalid, BatchUploadError)
    assert len(invalid.value.problems) == 2
    assert access.value.hint
    assert service.attachments() == []


async def test_an_error_names_what_led_to_it(
    service: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "gone.pem"))

    with pytest.raises(AccessFault, match=r"gone\.pem") as barred:
        await upload(make_batch(tmp_path, 1).path, FAST)

    assert isinstance(barred.value.__cause__, FileNotFoundError)


async def test_an_error_in_the_middle_says_what_was_done_until_then(service: Endpoint, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 2)
    service.faults({"action": "access_denied", "operation": "GetCallerIdentity"})

    with pytest.raises(AccessFault) as denied:
        await upload(batch.path, FAST)

    assert denied.value.summary is not None
    assert denied.value.summary.exit.code is ExitCode.ACCESS
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in str(denied.value)
