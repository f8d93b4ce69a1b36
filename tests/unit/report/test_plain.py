"""A run as a log tells it."""

import io

import pytest

from batch_upload.actions import ActionKind, Plan
from batch_upload.errors import ExitCode
from batch_upload.events import LanesChosen, LaneStopped, Looking, Notice, OrphanSeen, Resolving, RunEnded
from batch_upload.model import Capacity, Fault, State
from batch_upload.report.observers import Observers
from batch_upload.report.plain import FAILING_LANES_SAID, PlainObserver, VerboseObserver, event_sentence
from tests.unit.report.samples import (
    BEGIN,
    HOSTILE_NAMES,
    TOO_LARGE,
    after,
    answered,
    created,
    ended,
    lane_ended,
    moved,
    of_lane,
    plan_of,
    started,
    throttled,
    to_bind,
    utc,
)

RUN_ENDED = RunEnded(
    states={}, requests={}, throttled=0, uploaded=0, adopted=0, unchanged=0, bytes_sent=0, elapsed_s=1, at=after(99)
)


def test_a_log_tells_changes_of_fortune_at_once_and_progress_now_and_then() -> None:
    stream = io.StringIO()
    observer = PlainObserver(stream, local_time=utc)

    observer.notify(started(plan_of(20)))
    for number in range(10):
        observer.notify(created(f"item-{number}", after(number)))
        observer.tick(after(number))
    observer.notify(throttled(after(11)))
    observer.notify(throttled(after(12)))
    observer.notify(ended("item-0", after(13)))
    observer.notify(ended("item-19", after(14), State.FAILED, fault=TOO_LARGE))
    observer.notify(ended("item-18", after(15), State.FAILED, fault=TOO_LARGE))
    observer.tick(after(30))
    observer.tick(after(59.9))
    observer.notify(Resolving(count=1, at=after(60)))
    observer.notify(OrphanSeen("a-2", "bu1-x", "a-1", after(60)))
    observer.notify(Notice("the clock is off by\x1b[2J 3 min", after(60)))
    observer.notify(LaneStopped(Fault("Deadline", "50m are over"), draining=True, resume_after=None, at=after(60)))
    observer.tick(after(60))
    observer.notify(RUN_ENDED)
    observer.tick(after(200))

    assert stream.getvalue().splitlines() == [
        "batch `june` to `123456789012/us-east-1` at https://sms-voice.us-east-1.amazonaws.com: "
        "20 items to upload, 0 unchanged, from 1.0/s",
        "AWS is limiting requests (this is normal): the rate goes down",
        "failed `item-19`: MAXIMUM_SIZE_EXCEEDED: the attachment is too large",
        "1 of 20 done, 2 failed, 9 processing; 0.33/s now, 2 throttled, 26 s left (until 14:00)",
        "looking up what became of 1 request without an answer",
        "attachment `a-2` is a second copy: `a-1` was there first",
        r"the clock is off by\x1b[2J 3 min",
        "nothing more is sent: Deadline: 50m are over; waiting for AWS to finish what was sent",
        "1 of 20 done, 2 failed, 9 processing; 2 throttled, nothing new is sent",
    ]


def test_what_throttles_before_the_run_is_named_is_told_after_it() -> None:
    stream = io.StringIO()
    observer = PlainObserver(stream, local_time=utc)

    observer.notify(throttled(after(0)))
    observer.notify(started(plan_of(1)))
    observer.notify(throttled(after(1)))

    banner, throttle = stream.getvalue().splitlines()
    assert banner.startswith("batch `june` to ")
    assert throttle == "AWS is limiting requests (this is normal): the rate goes down"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("REGISTRATION_ATTACHMENTS_PER_ACCOUNT", "the account is full"),
        ("REGISTRATION_ATTACHMENTS_CREATED_PER_DAY", "the day's quota is used up"),
    ],
)
def test_a_quota_is_named_by_what_it_means(reason: str, words: str) -> None:
    fault = Fault("ServiceQuotaExceededException", "The request would exceed a quota", reason)
    stopped = LaneStopped(fault, draining=True, resume_after=None, at=after(1))

    assert event_sentence(stopped) == f"nothing more is sent: {words}; waiting for AWS to finish what was sent"


def test_a_run_that_the_capacity_will_cut_short_says_so() -> None:
    stream = io.StringIO()
    observer = PlainObserver(stream, local_time=utc)
    observer.notify(started(plan_of(20), capacity=Capacity(used=15, maximum=25)))
    observer.tick(after(30))

    assert stream.getvalue().splitlines()[-1] == (
        "0 of 20 done; 0.00/s now, 12 s left (until 14:00), then the capacity is used up"
    )


def test_a_run_that_only_waits_or_is_over_says_so() -> None:
    stream = io.StringIO()
    observer = PlainObserver(stream, local_time=utc)
    observer.notify(started(plan_of(1)))
    observer.notify(created("item-0", after(1)))
    observer.tick(after(30))
    observer.notify(ended("item-0", after(40)))
    observer.tick(after(100))

    assert stream.getvalue().splitlines()[1:] == [
        "0 of 1 done, 1 processing; waiting for the service",
        "1 of 1 done; 0.00/s now, done",
    ]


def test_a_run_whose_creates_have_ceased_promises_no_end() -> None:
    stream = io.StringIO()
    observer = PlainObserver(stream, local_time=utc)
    observer.notify(started(plan_of(2)))
    observer.notify(created("item-0", after(1)))
    observer.notify(ended("item-0", after(2)))
    observer.tick(after(300))

    assert stream.getvalue().splitlines()[-1] == "1 of 2 done; 0.00/s now, no end in sight"


def test_a_run_of_some_length_says_when_all_is_sent() -> None:
    stream = io.StringIO()
    observer = PlainObserver(stream, local_time=utc)
    observer.notify(started(plan_of(3)))
    observer.notify(created("item-0", after(1)))
    observer.notify(ended("item-1", after(20), State.FAILED, fault=TOO_LARGE))
    observer.notify(created("item-2", after(31)))
    observer.notify(ended("item-0", after(33)))
    observer.notify(ended("item-2", after(34)))

    assert stream.getvalue().splitlines()[2:] == ["all is sent, the service is at work on 2 items"]


def test_the_pace_is_told_beside_what_was_learned() -> None:
    stream = io.StringIO()
    observer = PlainObserver(stream, local_time=utc)
    observer.notify(started(plan_of(100)))
    for number in range(20):
        observer.notify(created(f"item-{number}", after(number * 2)))
    observer.notify(answered("item-20", after(39), rate=0.52))
    observer.tick(after(40))

    assert "; 0.50/s now, 0.52/s learned, " in stream.getvalue().splitlines()[-1]


def test_several_observers_are_all_told() -> None:
    first, second = io.StringIO(), io.StringIO()
    observers = Observers(PlainObserver(first, local_time=utc), Observers(), PlainObserver(second, local_time=utc))

    observers.notify(started(plan_of(1)))
    observers.tick(after(30))
    observers.close()

    assert first.getvalue() == second.getvalue()
    assert first.getvalue().count("\n") == 2


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (
            Looking(1_900, 0, None, 0, 209.0, BEGIN),
            "looking through 1,900 attachments of the account first, about 3 min 29 s",
        ),
        (Looking(None, 0, None, 0, None, BEGIN), "looking through the attachments of the account first"),
        (
            Looking(1_900, 700, None, 0, 204.0, BEGIN),
            "listed 700 of 1,900 attachments of the account, about 3 min 24 s left",
        ),
        (Looking(None, 700, None, 0, None, BEGIN), "listed 700 attachments of the account"),
        (
            Looking(1_900, 1_900, 1_890, 400, 149.0, BEGIN),
            "read the tags of 400 of 1,890 attachments of the account, about 2 min 29 s left",
        ),
        (
            Looking(1_900, 1_900, 1_890, 1_890, 0.0, BEGIN),
            "looked through 1,900 attachments of the account; waiting for tags that cannot be read yet",
        ),
    ],
)
def test_a_look_says_what_it_takes_and_how_far_it_is(event: Looking, sentence: str) -> None:
    assert event_sentence(event) == sentence


def told(*events: object, is_verbose: bool = False, ticks: tuple[float, ...] = ()) -> list[str]:
    """The lines that are written of these events, then at these seconds."""
    stream = io.StringIO()
    observer = PlainObserver(stream, local_time=utc, is_verbose=is_verbose)
    for event in events:
        observer.notify(event)
    for seconds in ticks:
        observer.tick(after(seconds))
    return stream.getvalue().splitlines()


def test_of_many_lanes_only_what_is_out_of_the_ordinary_is_a_line() -> None:
    acme, beta = "acme/us-east-1", "beta/us-east-1"
    full = Fault("ServiceQuotaExceededException", "too many", "REGISTRATION_ATTACHMENTS_PER_ACCOUNT")

    assert told(
        LanesChosen("june", (acme, beta, "late/r"), total=4, at=BEGIN),
        of_lane(started(plan_of(20)), acme),
        of_lane(Looking(9, 0, None, 0, None, BEGIN), acme),
        of_lane(started(plan_of(20), capacity=Capacity(20, 25)), beta),
        of_lane(throttled(after(1)), acme),
        of_lane(throttled(after(1)), beta),
        of_lane(created("item-0", after(2)), acme),
        of_lane(ended("item-1", after(2), State.FAILED, fault=TOO_LARGE), acme),
        of_lane(ended("item-2", after(2), State.FAILED, fault=TOO_LARGE), acme),
        of_lane(ended("item-1", after(2), State.FAILED, fault=TOO_LARGE), beta),
        of_lane(Notice("the clock is off", after(3)), beta),
        of_lane(LaneStopped(full, draining=True, resume_after=None, at=after(4)), beta),
        of_lane(lane_ended(ExitCode.DONE, after(5)), acme),
        of_lane(lane_ended(ExitCode.ACCOUNT_FULL, after(5), hint="raise the quota"), beta),
        Notice("of the whole run", after(5)),
        ticks=(29.9, 30, 31),
    ) == [
        "batch `june` to 3 lanes of 4",
        "beta/us-east-1: the account has room for 5 of 20, the rest will be parked",
        "AWS is limiting requests (this is normal): the rate goes down",
        "acme/us-east-1: failed `item-1`: MAXIMUM_SIZE_EXCEEDED: the attachment is too large",
        "beta/us-east-1: failed `item-1`: MAXIMUM_SIZE_EXCEEDED: the attachment is too large",
        "beta/us-east-1: the clock is off",
        "beta/us-east-1: nothing more is sent: the account is full; waiting for AWS to finish what was sent",
        "beta/us-east-1: ended, 0 of 20 done, exit 27 (account_full): the account is full: raise the quota or prune; "
        "raise the quota",
        "of the whole run",
        "0 of 40 done, 3 failed, 1 processing; 3 lanes: 1 waiting, 1 done, 1 failed; "
        "2 throttled, waiting for the service",
    ]


def test_a_hint_after_a_question_follows_without_a_semicolon() -> None:
    asking = lane_ended(ExitCode.INVALID, after(5), reason="no field `a`: did you mean `b`?", hint="correct `bind`")

    lines = told(of_lane(started(plan_of(1)), "acme/r"), of_lane(asking, "acme/r"))

    assert lines[-1].endswith("no field `a`: did you mean `b`? correct `bind`")


def test_with_v_each_lane_says_when_it_starts_and_ends_and_each_request_which_lane_it_is_of() -> None:
    lines = told(
        of_lane(started(plan_of(1)), "acme/r"),
        of_lane(Resolving(1, after(1)), "acme/r"),
        of_lane(lane_ended(ExitCode.DONE, after(5)), "acme/r"),
        is_verbose=True,
    )
    stream = io.StringIO()
    VerboseObserver(stream, level=1).notify(of_lane(answered("item-0", after(1)), "acme/r"))

    assert [line.partition(": ")[0] for line in lines] == ["acme/r"] * 3
    assert lines[0].startswith("acme/r: batch `june` to `123456789012/us-east-1` at ")
    assert lines[-1] == "acme/r: ended, 0 of 1 done, done"
    assert stream.getvalue() == (
        "2026-11-23T14:00:01.000Z acme/r: CreateRegistrationAttachment `item-0` accepted 50 ms request=r-1\n"
    )


@pytest.mark.parametrize("count", [1, 2, 80, 200])
def test_a_run_of_many_lanes_in_which_all_goes_well_is_a_line_at_the_start_and_one_now_and_then(count: int) -> None:
    labels = tuple(f"t{number}/r" for number in range(count))

    lines = told(
        LanesChosen("june", labels, total=count, at=BEGIN),
        *(of_lane(started(plan_of(2)), label) for label in labels),
        *(of_lane(ended("item-0", after(1)), label) for label in labels),
        *(of_lane(lane_ended(ExitCode.DONE, after(2)), label) for label in labels),
        ticks=(30, 60),
    )

    assert len(lines) == 3
    assert lines[-1].startswith(f"{count:,} of {2 * count:,} done; {count:,} lane")


def test_the_first_failure_of_a_lane_is_a_line_for_some_lanes() -> None:
    lines = told(
        *(of_lane(started(plan_of(2)), f"t{number}/r") for number in range(50)),
        *(of_lane(ended("item-0", BEGIN, State.FAILED, fault=TOO_LARGE), f"t{number}/r") for number in range(50)),
    )

    assert len(lines) == FAILING_LANES_SAID


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_targets_name_stays_on_its_line(name: str) -> None:
    stream = io.StringIO()
    label = f"{name}/r"
    observers = Observers(PlainObserver(stream, local_time=utc, is_verbose=True), VerboseObserver(stream, level=2))
    observers.notify(LanesChosen(name, (label,), total=1, at=BEGIN))
    observers.notify(of_lane(started(plan_of(1)), label))
    observers.notify(of_lane(answered("item-0", after(1)), label))
    observers.notify(of_lane(lane_ended(ExitCode.ACCESS, after(5), reason=name, hint=name), label))
    observers.tick(after(30))

    lines = stream.getvalue().split("\n")
    assert len(lines) == 6
    assert all(line.isprintable() for line in lines)


def test_a_run_that_only_binds_says_so_and_how_long_that_takes() -> None:
    stream = io.StringIO()
    observer = PlainObserver(stream, local_time=utc)
    observer.notify(started(Plan(tuple(to_bind(f"b{number}") for number in range(120)))))
    observer.notify(ended("b0", after(20)))
    observer.tick(after(30))

    assert stream.getvalue().splitlines() == [
        "batch `june` to `123456789012/us-east-1` at https://sms-voice.us-east-1.amazonaws.com: "
        "0 items to upload, 120 to bind, 0 unchanged, from 1.0/s",
        "1 of 120 done, 119 binding; binding at 1.0/s, 1 min 59 s left (until 14:02)",
    ]


def test_a_run_that_has_sent_all_says_how_many_are_still_to_be_bound() -> None:
    stream = io.StringIO()
    observer = PlainObserver(stream, local_time=utc)
    observer.notify(started(Plan((to_bind("a", ActionKind.CREATE, None), to_bind("b", ActionKind.CREATE, None)))))
    observer.notify(created("a", after(1)))
    observer.notify(moved("a", State.BINDING, after(20)))
    observer.notify(created("b", after(40)))

    assert stream.getvalue().splitlines()[-1] == ("all is sent, the service is at work on 1 item, 2 binds left")
