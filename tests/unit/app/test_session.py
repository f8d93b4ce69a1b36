"""A run over several lanes from lock to result: interrupted, refused, and with a ledger that fails."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from batch_upload.app.interruption import Interruption
from batch_upload.app.items import ready
from batch_upload.app.observers import Silent
from batch_upload.app.prune import NOT_AGREED, PruneResult, PruneSession
from batch_upload.app.reconcile import ReconcileSession
from batch_upload.app.upload import upload
from batch_upload.engine.listing import Cost
from batch_upload.engine.prune import Pruning
from batch_upload.errors import ExitCode, UsageError
from batch_upload.events import LaneEnded, OfLane, RunStarted
from batch_upload.ledger import find_reader
from batch_upload.settings import RunOptions
from tests.support.fleets import Fleet, make_fleet

LOCAL = RunOptions(local=True, rate=1_000.0)


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path, accounts=2, items=2)


class AtFirst:
    """Keeps every event, and interrupts the run at the first event of a kind."""

    def __init__(self, kind: type[object], interruption: Interruption) -> None:
        self.events: list[object] = []
        self._kind = kind
        self._interruption = interruption

    def notify(self, event: object) -> None:
        self.events.append(event)
        if isinstance(event, OfLane) and isinstance(event.event, self._kind):
            self._interruption.interrupt(ExitCode.TERMINATED, "SIGTERM")


async def test_a_lane_that_has_ended_hears_nothing_of_a_later_interruption(fleet: Fleet) -> None:
    slow = fleet.labels[1]
    for number in range(300):
        (fleet.folder / f"{number}.pdf").write_bytes(b"%PDF-1.4\n" + str(number).encode() + b"\n%%EOF\n")
    text = fleet.path.read_text(encoding="utf-8")
    fleet.path.write_text(text + f"  - {{glob: '[0-9]*.pdf', target: {slow}}}\n", encoding="utf-8")
    interruption = Interruption()
    heard = AtFirst(LaneEnded, interruption)

    result = await upload(fleet.path, LOCAL, observer=heard, interruption=interruption)

    ended = set[str]()
    for event in heard.events:
        if isinstance(event, OfLane):
            assert event.label not in ended, event
            if isinstance(event.event, LaneEnded):
                ended.add(event.label)
    assert ended == set(fleet.labels)
    assert result.summary.exit.code == result.lanes[slow].summary.exit.code == ExitCode.TERMINATED
    assert result.summary.adds_up


async def test_each_lane_ends_by_an_interruption_and_all_items_are_counted(fleet: Fleet) -> None:
    interruption = Interruption()
    heard = AtFirst(RunStarted, interruption)

    result = await upload(fleet.path, LOCAL, observer=heard, interruption=interruption)

    assert result.summary.exit.code == ExitCode.TERMINATED
    assert (result.summary.items, result.summary.adds_up) == (8, True)
    assert len([each for each in heard.events if isinstance(each, OfLane) and isinstance(each.event, LaneEnded)]) == 4


async def prune(
    fleet: Fleet,
    decide: Callable[[Mapping[str | None, Pruning]], Awaitable[bool]],
    interruption: Interruption | None = None,
) -> PruneResult:
    read = partial(ready, fleet.path, LOCAL)
    return await PruneSession(*read(), Silent(), read=read, decide=decide, interruption=interruption).run()


def keep_first_item(fleet: Fleet) -> None:
    """Take the second item of each lane out of the manifest."""
    lines = fleet.path.read_text(encoding="utf-8").splitlines()
    fleet.path.write_text("\n".join(line for line in lines if "-1.pdf" not in line) + "\n", encoding="utf-8")


async def test_prune_asks_once_for_all_lanes_and_deletes_in_each(fleet: Fleet) -> None:
    await upload(fleet.path, LOCAL)
    keep_first_item(fleet)
    asked: list[Mapping[str | None, Pruning]] = []

    async def decide(found: Mapping[str | None, Pruning]) -> bool:
        asked.append(found)
        return True

    result = await prune(fleet, decide)

    assert [{label: len(each.candidates) for label, each in found.items()} for found in asked] == [
        dict.fromkeys(fleet.labels, 1)
    ]
    assert (sum(result.counts.values()), result.left, result.summary.exit.code) == (4, 0, ExitCode.DONE)
    assert [lane.exit.code for lane in result.summary.lanes] == [ExitCode.DONE] * 4


async def test_a_prune_that_was_not_agreed_to_says_so_although_some_lanes_had_nothing_to_delete(fleet: Fleet) -> None:
    await upload(fleet.path, LOCAL)
    text = fleet.path.read_text(encoding="utf-8")
    only = "  - {file: t000/us-east-1-1.pdf, target: t000/us-east-1}\n"
    assert only in text
    fleet.path.write_text(text.replace(only, ""), encoding="utf-8")

    async def decline(_: Mapping[str | None, Pruning]) -> bool:
        return False

    result = await prune(fleet, decline)

    assert result.summary.exit == NOT_AGREED
    assert {lane.exit.reason for lane in result.summary.lanes} == {NOT_AGREED.reason, "nothing to delete"}


async def test_a_refused_prune_is_no_run_of_any_lane(fleet: Fleet) -> None:
    await upload(fleet.path, LOCAL)
    keep_first_item(fleet)

    async def refuse(_: Mapping[str | None, Pruning]) -> bool:
        raise UsageError("there is nobody to ask")

    with pytest.raises(UsageError) as raised:
        await prune(fleet, refuse)

    assert verbs_of(fleet) == {label: ["upload"] for label in fleet.labels}
    assert raised.value.summary is not None
    assert raised.value.summary.account is None
    assert raised.value.summary.requests == {"GetCallerIdentity": 2}


async def test_an_interruption_ends_a_prune_that_waits_for_an_answer(fleet: Fleet) -> None:
    await upload(fleet.path, LOCAL)
    keep_first_item(fleet)
    interruption = Interruption()

    async def wait_for_ever(_: Mapping[str | None, Pruning]) -> bool:
        interruption.interrupt(ExitCode.INTERRUPTED, "SIGINT")
        await anyio.sleep_forever()
        return True

    result = await prune(fleet, wait_for_ever, interruption)

    assert result.was_cut_off
    assert {lane.exit.code for lane in result.summary.lanes} == {ExitCode.INTERRUPTED}
    assert (result.summary.items, result.summary.adds_up) == (4, True)


@pytest.mark.parametrize("is_agreed", [True, False])
async def test_reconcile_asks_once_with_the_cost_of_every_lane(fleet: Fleet, *, is_agreed: bool) -> None:
    await upload(fleet.path, LOCAL)
    fleet.path.with_suffix(".local.ledger").unlink()
    asked: list[Mapping[str | None, Cost]] = []

    async def decide(costs: Mapping[str | None, Cost]) -> bool:
        asked.append(costs)
        return is_agreed

    read = partial(ready, fleet.path, LOCAL)

    result = await ReconcileSession(*read(), Silent(), read=read, may_begin=decide).run()

    assert [set(each) for each in asked] == [set(fleet.labels)]
    assert result.summary.states == {"complete" if is_agreed else "pending": 8}


async def test_a_person_is_asked_for_one_code_at_a_time(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    config = fleet.folder / "config"
    text = "[profile base]\naws_access_key_id = KEY\naws_secret_access_key = x\n"
    for name, account in fleet.accounts.items():
        role = f"arn:aws:iam::{account}:role/person"
        text += f"[profile {name}]\nrole_arn = {role}\nsource_profile = base\nmfa_serial = arn:{name}\n"
    config.write_text(text, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    manifest = fleet.path.read_text(encoding="utf-8").replace("defaults: {", "defaults: {profile: '{name}', ", 1)
    fleet.path.write_text(manifest, encoding="utf-8")
    open_questions, most, devices = 0, 0, set[str]()

    async def ask(question: str) -> str:
        nonlocal open_questions, most
        devices.update(name for name in fleet.accounts if f"`arn:{name}`" in question)
        open_questions += 1
        most = max(most, open_questions)
        for _ in range(10):
            await checkpoint()
        open_questions -= 1
        raise EOFError

    result = await upload(fleet.path, RunOptions(endpoint_url="http://127.0.0.1:9"), ask=ask)

    assert (most, devices) == (1, set(fleet.accounts))
    assert {lane.exit.code for lane in result.summary.lanes} == {ExitCode.ACCESS}


def verbs_of(fleet: Fleet) -> dict[str, list[str]]:
    """Return the verbs of the runs of each lane, latest first."""
    reader = find_reader(fleet.path.with_suffix(".local.ledger"))
    assert reader is not None
    with reader:
        return {label: [run.verb for run in reader.of_target(label).runs("fleet-2026", 10)] for label in fleet.labels}
