"""`upload` killed while it puts attachments into fields: before and after each write, each request and each answer.

Whatever was killed when, no field ever gets a wrong attachment, the next run puts each into its field, and a rerun puts
nothing.
"""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing

import pytest

from batch_upload.operations import CREATE, PUT_FIELD
from tests.support.bound_fields import current_fields, puts, puts_by_lane
from tests.support.kill_ground import Ground, Site, killed_or_clean, record
from tests.support.kill_points import KILLED, Kill, spread

ITEMS = 3


def bound(ground: Ground) -> Site:
    """A site whose items are bound to two registrations."""
    return ground.site(ITEMS, is_bound=True)


def unanswered(ground: Ground) -> Site:
    """The same, and some requests to bind are done and not answered, or throttled."""
    site = bound(ground)
    site.endpoint.faults(
        {"action": "throttle", "operation": PUT_FIELD, "times": 1},
        {"action": "drop_after", "operation": PUT_FIELD, "times": 2},
    )
    return site


def denied(ground: Ground) -> Site:
    """A site whose documents were bound in versions that were denied; the new ones are empty."""
    site = bound(ground)
    assert site.upload().code == 0
    for registration in site.endpoint.registrations():
        path = next(iter(registration["versions"][0]["values"]))
        site.endpoint.deny_registration(registration["id"], {path: {"reason": "UNCLEAR", "feedback": "not legible"}})
        assert site.endpoint.open_registration_version(registration["id"]) == 2
    assert current_fields(site.endpoint) == {}
    return site


SCRIPTS: Mapping[str, Callable[[Ground], Site]] = {
    "3 items, bound to 2 registrations": bound,
    "3 items, bound, throttled, then done twice without an answer": unanswered,
    "3 items, bound again in a new version": denied,
}
SAMPLES = dict(zip(SCRIPTS, (4, 3, 3), strict=True))
OF_BINDING = ("intend_bind", "put_field", "conclude_bind")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_kill_before_or_after_a_step_of_binding_puts_nothing_into_a_wrong_field(ground: Ground, script: str) -> None:
    clean = SCRIPTS[script](ground).upload(kill=Kill("step"))
    assert clean.code == 0, clean.result.stderr
    chosen = [at for at, name in enumerate(clean.names, 1) if name.partition(" ")[2] in OF_BINDING]

    kills = sum(_kill(ground, script, "step", chosen[at - 1]) for at in spread(len(chosen), SAMPLES[script]))

    named = {f"{when} {name}" for when in ("before", "after") for name in OF_BINDING}
    assert {clean.names[at - 1] for at in chosen} >= named
    assert kills >= SAMPLES[script] // 2


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["step", "callback"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_run_that_binds_is_killed_at_every_single_point(ground: Ground, script: str, kind: str) -> None:
    at = 1
    while _kill(ground, script, kind, at):
        at += 1

    named = {"step": "named step", "callback": "callback of the event loop"}
    record(named[kind], script, points=at - 1, kills=at - 1)


@pytest.mark.parametrize("number", [1, 2])
def test_a_kill_while_a_field_has_it_and_no_answer_has_left_puts_it_there_again_at_most(
    ground: Ground, number: int
) -> None:
    site = _killed_unanswered(ground, number)

    site.settle()

    assert site.endpoint.stats().requests[CREATE] == ITEMS
    assert puts(site.endpoint) <= ITEMS + 1


def test_a_field_that_had_it_before_the_version_was_submitted_is_read_back_and_counts_as_bound(ground: Ground) -> None:
    site = _killed_unanswered(ground, 1)
    site.endpoint.faults()
    held = len(current_fields(site.endpoint))
    for registration in site.endpoint.registrations():
        site.endpoint.review_registration(registration["id"], "SUBMITTED")

    ended = site.upload().result

    assert (ended.code, ended.states) == (20, {"complete": held, "failed": ITEMS - held}), ended.stderr
    site.assert_nothing_is_wrong_yet()
    assert len(current_fields(site.endpoint)) == held
    assert site.endpoint.stats().creates == ITEMS


def _kill(ground: Ground, script: str, kind: str, at: int) -> bool:
    site = SCRIPTS[script](ground)
    killed = killed_or_clean(site.upload(kill=Kill(kind, at)))
    site.settle()
    assert site.endpoint.stats().token_mismatches == 0
    return killed


def _killed_unanswered(ground: Ground, number: int) -> Site:
    """Kill once the service has put the `number`-th document into its field, whose answer it keeps to itself."""
    site = bound(ground)
    site.endpoint.faults({"action": "hang", "operation": PUT_FIELD, "after": number - 1, "times": 1, "done": True})
    with site.uploading() as process:
        site.endpoint.wait_until(
            lambda: puts_by_lane(site.endpoint).total() >= number and _recorded(site) == ITEMS,
            "nothing was put into a field",
        )
        process.kill()
        assert process.wait() == KILLED
    return site


def _recorded(site: Site) -> int:
    """How many attachments the ledger of a run that is under way has: their creates are not sent again."""
    with closing(sqlite3.connect(f"{site.batch.ledger.as_uri()}?mode=ro", uri=True)) as connection:
        (count,) = connection.execute("SELECT count(attachment_id) FROM item").fetchone()
    return int(count)
