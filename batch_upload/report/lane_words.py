"""A run over several lanes, as people read it while it goes on; and who holds a lane, or ran there last."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from batch_upload.errors import ExitCode
from batch_upload.escape import printable
from batch_upload.events import LaneEnded, LanesChosen
from batch_upload.model import Fault
from batch_upload.records import LaneHold, RunRecord
from batch_upload.report.lane_progress import LaneProgress, LanesProgress, Trouble
from batch_upload.report.ndjson import LaneRef, made_line
from batch_upload.summary import EVENT_SCHEMA_VERSION, Exit
from batch_upload.words import (
    clock_words,
    count_words,
    duration_words,
    fault_words,
    holder_words,
    rate_words,
    utc_iso,
    utc_iso_or_none,
)

LocalTime = Callable[[datetime], datetime]
"""Turns an aware time into the reader's zone."""

_QUOTAS = {
    "REGISTRATION_ATTACHMENTS_PER_ACCOUNT": "the account is full",
    "REGISTRATION_ATTACHMENTS_CREATED_PER_DAY": "the day's quota is used up",
}
"""What the reasons of ServiceQuotaExceededException mean (API reference of AWS End User Messaging SMS)."""


def stop_words(fault: Fault) -> str:
    """Return why nothing more is sent to a lane."""
    return _QUOTAS.get(fault.reason or "") or fault_words(fault)


def in_lane_words(label: str, sentence: str) -> str:
    """Return a sentence about one lane of several."""
    return f"{printable(label)}: {sentence}"


def chosen_sentence(event: LanesChosen) -> str:
    """Return to which lanes a run goes."""
    lanes = count_words(len(event.labels), "lane")
    of = "" if len(event.labels) == event.total else f" of {event.total:,}"
    return printable(f"batch `{event.batch}` to {lanes}{of}")


def lane_ended_sentence(event: LaneEnded, lane: LaneProgress) -> str:
    """Return how a lane ended, and what to do."""
    ending = Exit(ExitCode(event.code), event.reason)
    how = "done" if ending.code is ExitCode.DONE else f"exit {int(ending.code)} ({ending.name}): {event.reason}"
    counts = f"{lane.done:,} of {lane.total:,} done" if lane.total else "nothing sent"
    mark = "" if event.reason.endswith("?") else ";"
    hint = f"{mark} {event.hint}" if event.hint else ""
    return printable(f"ended, {counts}, {how}{hint}")


def lanes_words(progress: LanesProgress) -> str:
    """Return `80 lanes: 3 waiting, 60 running, 15 done, 2 failed`; counts of 0 are left out."""
    counts = [f"{count:,} {activity}" for activity, count in progress.activities.items() if count]
    return f"{count_words(len(progress.lanes), 'lane')}: {', '.join(counts)}"


def lanes_pace_words(progress: LanesProgress, *, at: datetime, local_time: LocalTime) -> str:
    """Return `58.0/s now, 34 throttled, 6 min left (until 14:32) for the slowest, acme/us-east-1`."""
    rate, slowest = progress.rate_per_s(at), progress.slowest(at)
    parts = [] if rate is None else [f"{rate_words(rate)} now"]
    if throttled := progress.throttled:
        parts.append(f"{throttled:,} throttled")
    if slowest is not None:
        lane, end = slowest
        clock = clock_words(local_time(end.ends_at), today=local_time(at))
        parts.append(f"{duration_words(end.left_s)} left (until {clock}) for the slowest, {printable(lane.label)}")
    elif progress.processing:
        parts.append("waiting for the service")
    elif progress.binding:
        parts.append("putting attachments into their fields")
    return ", ".join(parts) or "starting"


def trouble_words(lane: LaneProgress, trouble: Trouble, *, at: datetime) -> str:
    """Return why a lane needs attention."""
    match trouble:
        case Trouble.ENDED if lane.lane_ended is not None:
            return printable(f"exit {lane.lane_ended.code}: {lane.lane_ended.reason}")
        case Trouble.STOPPED if lane.stopped is not None:
            return f"nothing more is sent: {stop_words(lane.stopped.fault)}"
        case Trouble.FAILING:
            last = lane.failures[-1].fault
            return f"{lane.failed:,} failed" + ("" if last is None else f", the last: {fault_words(last)}")
        case Trouble.THROTTLED:
            share = 100 * lane.throttled / max(1, lane.requests.total())
            return f"{share:.0f} % of its requests are throttled"
    end = lane.eta(at)
    return "" if end is None else f"{duration_words(end.left_s)} left"


def hold_words(hold: LaneHold) -> str:
    """Return who holds a lane, since when and until when, in the time of the database."""
    since = "" if hold.since is None else f" since {hold.since:%Y-%m-%d %H:%M:%SZ}"
    until = "" if hold.until is None else f", lease until {hold.until:%H:%M:%SZ}"
    who = holder_words(hold.pid, hold.host)
    return f"{who}{since} (run {hold.run_id}){until}; taken {count_words(hold.fence, 'time')} so far"


def last_run_line(run: RunRecord) -> dict[str, Any]:
    """Return the line `{"event": "last_run", …}`."""
    return made_line(
        "last_run",
        run_id=run.run_id,
        verb=run.verb,
        began_at=utc_iso(run.began_at),
        ended_at=utc_iso_or_none(run.ended_at),
        exit=run.exit_code,
        principal=run.principal,
        os_user=run.os_user,
        host=run.host,
    )


def hold_line(hold: LaneHold, lane: LaneRef) -> dict[str, Any]:
    """Return the line `{"event": "lease", …}`."""
    return {
        "event": "lease",
        "schema_version": EVENT_SCHEMA_VERSION,
        **({} if lane.target is None else {"target": lane.target}),
        "account": hold.lane.account,
        "region": hold.lane.region,
        "held": hold.is_held,
        "run_id": hold.run_id,
        "host": hold.host,
        "pid": hold.pid,
        "since": utc_iso_or_none(hold.since),
        "until": utc_iso_or_none(hold.until),
        "fence": hold.fence,
    }
