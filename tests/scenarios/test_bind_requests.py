"""Exactly which requests a manifest with `bind` makes, by verb and operation, and that one without makes no other."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from batch_upload.operations import (
    ASSUME_ROLE,
    CREATE,
    DESCRIBE,
    FIELD_DEFINITIONS,
    FIELD_VALUES,
    LIMITS,
    PUT_FIELD,
    REGISTRATIONS,
)
from tests.support.batches import make_batch, pdf
from tests.support.bound_fields import assert_bound, assert_no_wrong_put, current_fields, plant_registrations
from tests.support.clocks import Clocks
from tests.support.command import Result
from tests.support.emulator_process import EmulatorProcess
from tests.support.endpoint import Endpoint
from tests.support.fleets import Fleet, make_fleet
from tests.support.preloaded import Preloaded

ITEMS = 6
LANES = 2
DAY_S = 24 * 3600.0
FIRST_RUN = {DESCRIBE: 2 * LANES, CREATE: LANES * ITEMS, LIMITS: LANES}
"""The lane is listed, its capacity read, the items are created, and then asked for in one call."""
FIRST_PLAN = {DESCRIBE: LANES, LIMITS: LANES}
PLAN = {LIMITS: LANES}
VERIFICATION = {DESCRIBE: LANES}
LOOK = {REGISTRATIONS: LANES}
"""A page of the registrations of each account."""


class Lanes:
    """Two accounts with the same number of items each, and the requests that verbs make of them."""

    def __init__(self, fleet: Fleet, endpoint: Endpoint, command: Preloaded) -> None:
        self.fleet, self.endpoint, self.command = fleet, endpoint, command
        self.ended = Result(0, "", "")

    def requests(self, verb: str, *flags: str, env: Mapping[str, str] | None = None) -> Counter[str]:
        """Run a verb, and return its requests by operation, without those for roles."""
        before = self.endpoint.stats().requests
        words = (verb, str(self.fleet.path), *flags, "--json")
        self.ended = self.command.run(*words, cwd=self.fleet.folder, env={**self.endpoint.env, **(env or {})})
        made = self.endpoint.stats().requests - before
        del made[ASSUME_ROLE]
        return made


def lanes_in(
    folder: Path, emulator: EmulatorProcess, command: Preloaded, *, first_account: int, is_bound: bool
) -> Lanes:
    fleet = make_fleet(
        folder,
        accounts=LANES,
        regions=["us-east-1"],
        items=ITEMS,
        first_account=first_account,
        is_bound=is_bound,
    )
    endpoint = Endpoint(emulator, by_role=fleet.accounts.values())
    plant_registrations(endpoint, fleet.fields)
    return Lanes(fleet, endpoint, command)


@pytest.fixture
def unbound(emulator_process: EmulatorProcess, command: Preloaded, tmp_path: Path) -> Lanes:
    return lanes_in(tmp_path, emulator_process, command, first_account=510_000_000_000, is_bound=False)


@pytest.fixture
def bound(
    emulator_process: EmulatorProcess, command: Preloaded, tmp_path: Path, request: pytest.FixtureRequest
) -> Lanes:
    number = 10 * abs(hash(request.node.name)) % 10_000_000
    return lanes_in(tmp_path, emulator_process, command, first_account=520_000_000_000 + number, is_bound=True)


def test_without_bind_each_verb_makes_the_requests_that_it_made_before_there_was_any(unbound: Lanes) -> None:
    assert unbound.requests("plan") == FIRST_PLAN
    assert unbound.requests("upload", "--rate", "100") == FIRST_RUN
    assert unbound.ended.code == 0, unbound.ended.stderr
    assert unbound.requests("upload") == {}
    assert unbound.requests("plan") == PLAN
    assert unbound.requests("verify") == VERIFICATION
    assert unbound.requests("prune", "--yes") == {}


def test_with_bind_each_lane_is_looked_at_once_each_type_once_a_day_and_each_item_is_put_once(bound: Lanes) -> None:
    assert bound.requests("plan") == {**FIRST_PLAN, **LOOK, FIELD_DEFINITIONS: LANES}
    assert bound.requests("upload", "--rate", "100") == {
        **FIRST_RUN,
        **LOOK,
        FIELD_DEFINITIONS: LANES,
        PUT_FIELD: LANES * ITEMS,
    }
    assert (bound.ended.code, bound.ended.summary["bound"]) == (0, LANES * ITEMS), bound.ended.stderr
    assert_bound(bound.endpoint, bound.fleet.fields)
    assert bound.requests("upload") == LOOK
    assert bound.requests("plan") == {**PLAN, **LOOK}
    assert bound.requests("verify") == {**VERIFICATION, **LOOK, FIELD_VALUES: len(bound.fleet.fields) // 2}
    assert bound.ended.code == 0, bound.ended.stderr
    for offline in ("validate", "status", "report"):
        assert bound.requests(offline) == {}


def test_a_denied_registration_with_a_new_version_is_bound_again_without_one_create(bound: Lanes) -> None:
    bound.requests("upload", "--rate", "100")
    denied = bound.endpoint.registrations()[0]
    path = next(iter(denied["versions"][0]["values"]))
    bound.endpoint.deny_registration(denied["arn"], {path: {"reason": "UNCLEAR", "feedback": "not legible"}})
    assert bound.requests("upload") == {**LOOK, FIELD_VALUES: 1}  # its denial is read once
    assert bound.requests("upload") == LOOK
    bound.endpoint.open_registration_version(denied["arn"])

    made = bound.requests("upload")

    assert made == {**LOOK, PUT_FIELD: 2}
    assert (bound.ended.code, bound.ended.summary["bound"], bound.ended.summary["uploaded"]) == (0, 2, 0)
    assert_bound(bound.endpoint, bound.fleet.fields)
    assert_no_wrong_put(bound.endpoint, bound.fleet.fields)
    assert bound.requests("upload") == LOOK


def test_bound_to_a_submitted_registration_items_fail_with_what_helps_and_are_tried_once_a_run(bound: Lanes) -> None:
    submitted = bound.endpoint.registrations()[0]
    bound.endpoint.review_registration(submitted["arn"], "SUBMITTED")

    first = bound.requests("upload", "--rate", "100")
    failed = [each for each in bound.ended.of("item") if each["state"] == "failed"]

    assert first[CREATE] == LANES * ITEMS
    assert (bound.ended.code, bound.ended.states) == (20, {"complete": LANES * ITEMS - 2, "failed": 2})
    assert bound.ended.summary["bound"] == LANES * ITEMS - 2
    for each in failed:
        assert each["registration_attachment_id"] is not None
        assert f"version 1 of `{submitted['id']}` is under review (SUBMITTED)" in each["error"]["message"]
        assert "once it is decided and a new version is made, the same command goes on" in each["error"]["message"]
    again = bound.requests("upload")
    assert again == {**LOOK, PUT_FIELD: 2, FIELD_VALUES: 2}
    assert bound.ended.code == 20

    bound.endpoint.deny_registration(submitted["arn"], {})
    bound.endpoint.open_registration_version(submitted["arn"])

    assert bound.requests("upload") == {**LOOK, PUT_FIELD: 2}
    assert (bound.ended.code, bound.ended.states) == (0, {"complete": LANES * ITEMS})
    assert_bound(bound.endpoint, bound.fleet.fields)


def test_the_fields_of_a_type_are_asked_for_again_after_a_day(
    endpoint: Endpoint, timed: tuple[Preloaded, Clocks], tmp_path: Path
) -> None:
    command, clocks = timed
    batch = make_batch(tmp_path, 2, is_bound=True)
    plant_registrations(endpoint, batch.fields(f"{endpoint.account}/us-east-1"))

    def definitions_asked_for(letter: str) -> int:
        (tmp_path / batch.ids[0]).write_bytes(pdf(letter))
        before = endpoint.stats().requests
        ended = command.run("upload", batch.manifest, "--rate", "100", "--json", cwd=tmp_path, env=endpoint.env)
        assert ended.code == 0, ended.stderr
        return (endpoint.stats().requests - before)[FIELD_DEFINITIONS]

    asked = [definitions_asked_for("the first"), definitions_asked_for("the second")]
    clocks.sleep(DAY_S + 60)
    asked.append(definitions_asked_for("the third"))

    assert asked == [1, 0, 1]
    assert len(current_fields(endpoint)) == 2
    assert endpoint.stats().requests[PUT_FIELD] == 4
