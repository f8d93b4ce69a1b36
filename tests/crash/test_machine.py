"""Any order of faults, kills, reruns, overlapping starts, edits and lost ledgers: found by Hypothesis, in virtual time.

What must hold whatever happens: one attachment for an item's content and generation, one body for a token, and nothing
called complete that is not. In the end, when all is calm, every item is there, and a rerun sends nothing.
"""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from batch_upload.emulator.faults import FaultAction as Action
from batch_upload.emulator.faults import FaultRule
from batch_upload.emulator.limits import Rate
from batch_upload.emulator.names import EVERY_OPERATION
from batch_upload.emulator.settings import EmulatorSettings, KnownToken, LateTags, Paging
from batch_upload.errors import ExitCode
from batch_upload.model import AttachmentStatus
from batch_upload.operations import CREATE, DESCRIBE
from batch_upload.token import IDENTITY_TAG
from tests.support.simulated_network import Weather
from tests.support.world import Ended, Plan, Wanted, World, item_of, tokens_of

HORIZON_S = 60.0
DAY_S = 86_400.0
LANDED_S = 5.0
"""After so long everything that was under way when a process died has arrived or is lost."""
CALM_RUNS_MAX = 6
CLOCKS_SET_S = (0.0, 2.0, -2.0, 55.0, -55.0, 1_000.0, -1_000.0, 3_600.0, -3_600.0)
"""How far ahead of the world's a wall clock is set: a little, nearly a horizon, and more than AWS lets pass."""
IDS = ("loa", "screenshot", "terms", "logo")
CONTENTS = ("first", "second", "third")
TAGS = ("NO", "SE")

PASSING = (
    Action.THROTTLE,
    Action.INTERNAL_ERROR,
    Action.DROP_BEFORE,
    Action.DROP_AFTER,
    Action.ERROR_AFTER,
    Action.GARBAGE,
    Action.EMPTY_200,
)
LASTING = (Action.VALIDATION, Action.UPLOAD_FAILED, Action.QUOTA_DAY, Action.EXPIRED_TOKEN, Action.ACCESS_DENIED)
HOW_OFTEN = {"times": st.integers(1, 12), "after": st.integers(0, 3), "share": st.sampled_from((0.3, 1.0))}
OPERATIONS = st.sampled_from((CREATE, EVERY_OPERATION, DESCRIBE))
FAULTS = st.lists(
    st.builds(FaultRule, st.sampled_from((*PASSING, *LASTING)), st.just(CREATE), **HOW_OFTEN)
    | st.builds(FaultRule, st.sampled_from(PASSING), st.sampled_from((EVERY_OPERATION, DESCRIBE)), **HOW_OFTEN)
    | st.builds(partial(FaultRule, Action.RAW, body="[]"), OPERATIONS, status=st.sampled_from((200, 502)), **HOW_OFTEN)
    | st.builds(partial(FaultRule, Action.REDIRECT, status=307, location="http://x"), OPERATIONS, **HOW_OFTEN),
    max_size=4,
)
LAGS = st.fixed_dictionaries(
    {
        "listing_lag_s": st.sampled_from((0.0, 3.0, HORIZON_S / 2)),
        "describe_lag_s": st.sampled_from((0.0, 3.0, HORIZON_S * 0.9)),
        "tags_lag_s": st.sampled_from((0.0, 5.0, HORIZON_S / 2)),
        "tags_lag_answer": st.sampled_from(LateTags),
        "limits_lag_s": st.sampled_from((0.0, 30.0)),
        "limits_used": st.sampled_from((None, 2)),
        "paging": st.sampled_from(Paging),
        "page_size": st.sampled_from((1, 100)),
        "next_token_life_s": st.sampled_from((None, 10.0)),
        "known_token": st.sampled_from(KnownToken),
    }
)
"""How far the service is behind itself, how it pages, and what a token gets that it knows."""
IDS_AT_RANDOM = st.sampled_from(IDS)
CONTENTS_AT_RANDOM = st.sampled_from(CONTENTS)
TAGS_AT_RANDOM = st.sampled_from(TAGS)
Thing = tuple[str, str, int]
"""What may be uploaded once: id, content and generation."""


class Uploads(RuleBasedStateMachine):
    """One manifest, one ledger, one service, and everything that can come between them."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        fast = Rate(20, burst=5)
        service = EmulatorSettings(
            rates={EVERY_OPERATION: fast}, attachments_per_account=None, processing_s=0.5, token_memory_s=HORIZON_S
        )
        self.world = World(self.folder, service, seed=0, horizon_s=HORIZON_S)
        self.world.network.weather = Weather(way_s=0.05, jitter_s=0.05)
        self.world.wanted = {"loa": Wanted("first", {"Country": "NO"}), "terms": Wanted("second", {"Country": "SE"})}
        self.things: dict[str, Thing] = {}
        self.copies: list[bytes] = []
        self.tags_are_comparable = True
        self.is_done = False

    @initialize(lags=LAGS)
    def have_a_service_that_lags(self, lags: dict[str, object]) -> None:
        self.world.emulator.change_settings(json.dumps(lags))

    # edits of the manifest

    @rule(item_id=IDS_AT_RANDOM, content=CONTENTS_AT_RANDOM, country=TAGS_AT_RANDOM)
    def add_or_change(self, item_id: str, content: str, country: str) -> None:
        before = self.world.wanted.get(item_id)
        generation = before.generation if before else 1
        self.edit(item_id, Wanted(content, {"Country": country}, generation))

    @precondition(lambda self: self.world.wanted)
    @rule(data=st.data(), country=TAGS_AT_RANDOM)
    def change_tags(self, data: st.DataObject, country: str) -> None:
        item_id = data.draw(st.sampled_from(sorted(self.world.wanted)))
        self.edit(item_id, replace(self.world.wanted[item_id], tags={"Country": country}))

    @precondition(lambda self: self.world.wanted)
    @rule(data=st.data())
    def raise_generation(self, data: st.DataObject) -> None:
        item_id = data.draw(st.sampled_from(sorted(self.world.wanted)))
        before = self.world.wanted[item_id]
        self.edit(item_id, replace(before, generation=before.generation + 1))

    @precondition(lambda self: len(self.world.wanted) > 1)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        del self.world.wanted[data.draw(st.sampled_from(sorted(self.world.wanted)))]
        self.is_done = False

    @precondition(lambda self: len(self.world.wanted) > 1)
    @rule(data=st.data())
    def reorder(self, data: st.DataObject) -> None:
        order = data.draw(st.permutations(sorted(self.world.wanted)))
        self.world.wanted = {item_id: self.world.wanted[item_id] for item_id in order}

    def edit(self, item_id: str, wanted: Wanted) -> None:
        self.world.wanted[item_id] = wanted
        self.is_done = False

    # what comes between

    @rule(faults=FAULTS)
    def have_faults(self, faults: list[FaultRule]) -> None:
        self.world.emulator.set_faults(faults)

    @rule(seconds=st.sampled_from((1.0, HORIZON_S / 2, HORIZON_S + LANDED_S)))
    def wait(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(ahead_s=st.sampled_from(CLOCKS_SET_S))
    def set_the_clock(self, ahead_s: float) -> None:
        self.world.set_clock(ahead_s)

    @rule()
    def reboot(self) -> None:
        self.world.reboot()

    # runs

    @rule(overlapped=st.booleans(), concurrency=st.sampled_from((1, 8)))
    def run_to_the_end(self, overlapped: bool, concurrency: int) -> None:  # noqa: FBT001 - a rule's argument
        self.take(self.world.run(self.remembered(Plan(overlapped=overlapped, concurrency=concurrency))))

    @rule(step=st.integers(1, 400))
    def run_and_kill(self, step: int) -> None:
        self.take(self.world.run(self.remembered(Plan(dies_at=step))))

    @rule(
        after_s=st.floats(0, 10),
        asleep_s=st.sampled_from((0.0, 1.0, HORIZON_S - 5, HORIZON_S, 3_600.0)),
        ahead_s=st.sampled_from(CLOCKS_SET_S),
        then_back=st.booleans(),
    )
    def run_among_clocks(self, after_s: float, asleep_s: float, ahead_s: float, then_back: bool) -> None:  # noqa: FBT001
        clock_set = [(after_s, ahead_s), *([(after_s + 2, 0.0)] if then_back else [])]
        plan = Plan(asleep=((after_s + 1, asleep_s),), clock_set=tuple(clock_set))
        self.take(self.world.run(self.remembered(plan)))

    @rule(seconds=st.floats(0, 10))
    def run_and_interrupt(self, seconds: float) -> None:
        self.take(self.world.run(self.remembered(Plan(interrupted_after_s=seconds))))

    @precondition(lambda self: self.is_done)
    @rule()
    def run_again(self) -> None:
        assert self.world.run().sent == 0

    def remembered(self, plan: Plan) -> Plan:
        """Note what this run may upload, before it begins."""
        for item_id, wanted in self.world.wanted.items():
            for token in tokens_of(item_of(item_id, wanted)):
                self.things[token] = (item_id, wanted.content, wanted.generation)
        return plan

    def take(self, ended: Ended) -> None:
        self.is_done = ended.exit_code is ExitCode.DONE
        assert ended.exit_code is not ExitCode.OUR_FAULT
        if ended.result is not None:
            assert set(ended.result.states) == set(self.world.wanted)

    # what happens to ledgers

    @precondition(lambda self: self.world.ledger.exists())
    @rule()
    def copy_ledger(self) -> None:
        self.copies.append(self.world.ledger.read_bytes())

    @precondition(lambda self: self.copies)
    @rule(data=st.data())
    def restore_a_copy(self, data: st.DataObject) -> None:
        self.lose_ledger()
        self.world.ledger.write_bytes(data.draw(st.sampled_from(self.copies)))

    @precondition(lambda self: self.world.ledger.exists())
    @rule(with_lock=st.booleans())
    def delete_ledger(self, with_lock: bool) -> None:  # noqa: FBT001 - a rule's argument
        self.lose_ledger()
        if with_lock:
            self.world.ledger.with_name(f"{self.world.ledger.name}.lock").unlink()

    def lose_ledger(self) -> None:
        """What only the ledger knew is lost: that an attachment with other tags is of the same document."""
        self.world.pass_time(LANDED_S + self.world.emulator.settings.listing_lag_s)
        self.world.ledger.unlink(missing_ok=True)
        self.tags_are_comparable = self.is_done = False

    # what must hold

    @invariant()
    def nothing_is_uploaded_twice(self) -> None:
        self.world.check_safety()
        standing = self.standing()
        if self.tags_are_comparable:
            assert all(count == 1 for count in standing.values()), standing

    def standing(self) -> Counter[Thing]:
        """How many attachments that did not fail there are of each thing."""
        held = [each for each in self.world.held() if each["status"] != "UPLOAD_FAILED"]
        return Counter(self.things[each["tags"][IDENTITY_TAG]] for each in held)

    def teardown(self) -> None:
        try:
            self.come_to_rest()
        finally:
            shutil.rmtree(self.folder)

    def come_to_rest(self) -> None:
        """No faults any more, and a person who does what the exit codes ask for: everything gets done."""
        self.world.emulator.set_faults(())
        self.world.set_clock(0.0)
        self.world.pass_time(2 * DAY_S)  # a clock that was ahead may have parked something for longer than a day
        codes: list[ExitCode | None] = []
        while not codes or codes[-1] is not ExitCode.DONE:
            assert len(codes) < CALM_RUNS_MAX, codes
            ended = self.world.run(self.remembered(Plan()))
            codes.append(ended.exit_code)
            self.act_on(ended.exit_code)
        self.nothing_is_uploaded_twice()
        standing = self.standing()
        for item_id, wanted in self.world.wanted.items():
            assert standing[item_id, wanted.content, wanted.generation] >= 1
        assert self.world.run().sent == 0
        if self.tags_are_comparable:
            self.check_tags()

    def check_tags(self) -> None:
        """Each item's attachment carries the tags that the manifest wants, and no others."""
        standing = [each for each in self.world.held() if each["status"] != "UPLOAD_FAILED"]
        held = {each["tags"].get(IDENTITY_TAG): each["tags"] for each in standing}
        for item in self.world.items:
            (token,) = [each for each in tokens_of(item) if each in held]
            assert held[token] == {**item.tags, IDENTITY_TAG: token}, item.item_id

    def act_on(self, exit_code: ExitCode | None) -> None:
        if exit_code is ExitCode.DISAGREEMENT:
            self.lose_ledger()
        if exit_code is ExitCode.ITEMS_FAILED:
            last = {tokens_of(item)[-1] for item in self.world.items}
            for row in self.world.known():
                if row.client_token in last and row.attachment_status is AttachmentStatus.FAILED:
                    self.raise_of(row.item_id)

    def raise_of(self, item_id: str) -> None:
        wanted = self.world.wanted.get(item_id)
        if wanted is not None:
            self.edit(item_id, replace(wanted, generation=wanted.generation + 1))


def run_with(
    machine: Uploads, content: str, country: str, faults: tuple[FaultRule, ...] = (), *, then_wait_s: float = 0.0
) -> Ended:
    """One run of a manifest with one item."""
    machine.edit("loa", Wanted(content, {"Country": country}))
    machine.world.emulator.set_faults(faults)
    ended = machine.world.run(machine.remembered(Plan()))
    machine.nothing_is_uploaded_twice()
    machine.world.pass_time(then_wait_s)
    return ended


@pytest.fixture
def machine() -> Iterator[Uploads]:
    """A machine with one item, moved by hand."""
    made = Uploads()
    made.world.wanted.clear()
    yield made
    made.teardown()


def test_tags_that_go_back_to_a_refused_version_make_no_second_attachment(machine: Uploads) -> None:
    refused = run_with(machine, "first", "NO", (FaultRule(Action.VALIDATION, CREATE),))
    uploaded = run_with(machine, "first", "SE")
    back = run_with(machine, "first", "NO")

    assert (refused.exit_code, uploaded.exit_code) == (ExitCode.ITEMS_FAILED, ExitCode.DONE)
    assert (back.exit_code, back.sent) == (ExitCode.DONE, 0)


def test_content_that_comes_back_with_other_tags_makes_no_second_attachment(machine: Uploads) -> None:
    run_with(machine, "first", "NO")
    run_with(machine, "second", "NO")
    back = run_with(machine, "first", "SE")

    assert (back.exit_code, back.sent) == (ExitCode.DONE, 0)


def test_a_change_that_is_taken_back_while_its_outcome_is_open_sends_nothing(machine: Uploads) -> None:
    run_with(machine, "first", "NO")
    cut_off = run_with(machine, "second", "NO", (FaultRule(Action.DROP_BEFORE, CREATE),), then_wait_s=2 * HORIZON_S)
    back = run_with(machine, "first", "NO")

    assert cut_off.exit_code is ExitCode.TRANSIENT
    assert (back.exit_code, back.sent) == (ExitCode.DONE, 0)


def test_a_change_that_could_not_be_sent_is_not_called_done(machine: Uploads) -> None:
    run_with(machine, "first", "NO")
    machine.delete_ledger(with_lock=True)
    run_with(machine, "first", "NO")
    machine.world.ledger.with_name(f"{machine.world.ledger.name}.lock").unlink()
    unheard = run_with(machine, "second", "NO", (FaultRule(Action.UNAVAILABLE, DESCRIBE),))

    assert (unheard.exit_code, unheard.sent) == (ExitCode.TRANSIENT, 0)


def explore(examples: int, steps: int) -> None:
    run_state_machine_as_test(
        Uploads,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_no_order_of_faults_kills_and_edits_uploads_anything_twice_or_loses_it() -> None:
    explore(examples=25, steps=12)


@pytest.mark.soak
def test_no_long_order_of_faults_kills_and_edits_does_either() -> None:
    explore(examples=1_000, steps=40)
