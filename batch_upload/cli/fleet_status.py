"""`fleet status` and `fleet schedule`: what the queue of a fleet holds."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batch_upload.cli.flags import (
    FILE_FLAGS,
    INVALID_FLAGS,
    OUTPUT_FLAGS,
    RATE_FLAGS,
    SHARED_LEDGER,
    TARGET_FLAGS,
    Flags,
    ManifestArgument,
    options_of,
)
from batch_upload.cli.fleet_timing import DeadAfter, needs_fleet, timing_of
from batch_upload.cli.output import Output
from batch_upload.cli.verb import Ended, verb
from batch_upload.errors import ExitCode, UsageError
from batch_upload.escape import printable
from batch_upload.report.ndjson import made_line
from batch_upload.summary import Exit, Summary, exit_of
from batch_upload.words import duration_words, utc_iso, utc_iso_or_none

if TYPE_CHECKING:
    from batch_upload.app.ledger_view import LedgerView
    from batch_upload.fleet.jobs import FleetWorker, LaneJob, Schedule, Timing


@verb("fleet status", ("ledger",), TARGET_FLAGS, ("allow_outside",), OUTPUT_FLAGS, declared=SHARED_LEDGER)
def fleet_status_command(
    manifest: ManifestArgument, dead_after: DeadAfter = "30s", *, flags: Flags, output: Output
) -> Ended:
    """show the workers, and the job, the worker and the progress of each lane"""
    import anyio  # heavy, like all that follows

    from batch_upload.app.ledger_view import summary_of_views, view_lanes
    from batch_upload.clock import counting_s

    with needs_fleet():
        from batch_upload.fleet.jobs import lane_queue
        from batch_upload.fleet.worker import problem_of

    started, timing = counting_s(), timing_of(dead_after)
    views = view_lanes(manifest, options_of(flags))
    found = [view for view in views if len(view.rows)] or views
    ledger, listed = found[0].settings.ledger, found[0].manifest
    path = str(listed.folder / listed.path.name)

    async def read() -> "tuple[list[FleetWorker], list[LaneJob], list[Schedule]]":
        async with lane_queue(ledger, timing, writes=False) as queue:
            return await queue.workers(), await queue.jobs_of_manifest(path), await queue.schedules()

    workers, jobs, schedules = anyio.run(read)
    latest = {job.task.target: job for job in sorted(jobs, key=_shown_last)}
    counted = [view.states() for view in found]
    lines = [*worker_lines(workers, timing, output)]
    for view, states in zip(found, counted, strict=True):
        lines.append(fleet_lane_line(view, {state.value: n for state, n in states.items()}, latest, output))
    for each in schedules:
        if each.manifest == path and (problem := problem_of(each)) is not None:
            lines.append(printable(f"its schedule is passed over: {problem}"))
    if not output.quiet:
        output.answer(lines)
    return Ended(summary_of_views(found, "fleet status", started=started, states=counted), lines=())


@verb(
    "fleet schedule",
    ("ledger",),
    TARGET_FLAGS,
    RATE_FLAGS,
    ("max_failures",),
    FILE_FLAGS,
    INVALID_FLAGS,
    OUTPUT_FLAGS,
    declared=SHARED_LEDGER,
)
def fleet_schedule_command(
    manifest: Annotated[
        Path | None, typer.Argument(metavar="MANIFEST", help="what to upload; without it all schedules are listed")
    ] = None,
    cron: Annotated[
        str | None, typer.Argument(metavar="CRON", help="when, in UTC, as in a crontab: `0 3 * * *` for 3 o'clock")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove/--no-remove", help="remove the manifest's schedule")] = False,  # noqa: FBT002
    *,
    flags: Flags,
    output: Output,
) -> Ended:
    """have the workers upload a manifest again and again; list or remove such schedules"""
    import anyio  # heavy, like all that follows

    from batch_upload.app.choice import ready_to_send
    from batch_upload.manifest.reader import ledger_named_in
    from batch_upload.settings import settings_of

    with needs_fleet():
        from batch_upload.fleet.jobs import Schedule, Timing, lane_queue
        from batch_upload.fleet.lane import options_json
        from batch_upload.fleet.worker import next_time

    options, wanted = options_of(flags), None
    if manifest is None and (remove or options.ledger is None):
        raise UsageError("`fleet schedule` needs a manifest, or `--ledger URL` to list all schedules")
    path = "" if manifest is None else str(manifest.resolve())
    # a schedule can be removed after its manifest was
    is_named = manifest is None or (remove and options.ledger is not None)
    named = None if is_named or manifest is None else ledger_named_in(manifest)
    settings = settings_of(options, manifest=manifest or Path("fleet"), ledger=named)
    if manifest is not None and cron is not None and not remove:
        ready_to_send(manifest, options)  # raises for its problems now, and not when the first run is due
        kept = {**options_json(options), "targets": list(options.targets)}
        wanted = Schedule(path, cron, kept, next_time(cron, datetime.now(UTC)))

    async def change() -> "tuple[list[Schedule], bool]":
        async with lane_queue(settings.ledger, Timing(), writes=remove or wanted is not None) as queue:
            removed = await queue.unschedule(path) if remove else False
            if wanted is not None:
                await queue.schedule(wanted)
            found = await queue.schedules()
            return [each for each in found if manifest is None or each.manifest == path], removed

    schedules, was_removed = anyio.run(change)
    lines = schedule_lines(schedules, output)
    if remove:
        lines.append("removed" if was_removed else "there was no schedule")
    elif not schedules:
        lines.append("no schedule")
    if not output.quiet:
        output.answer(lines)
    return Ended(Summary("fleet schedule", exit_of(ExitCode.DONE)), lines=())


def schedule_lines(schedules: "Sequence[Schedule]", output: Output) -> list[str]:
    """Return a line for each schedule, and print its event."""
    from batch_upload.fleet.worker import problem_of  # heavy

    lines = []
    for each in schedules:
        problem = problem_of(each)
        line = made_line(
            "schedule",
            manifest=each.manifest,
            cron=each.cron,
            next_at=utc_iso(each.next_at),
            last_at=utc_iso_or_none(each.last_at),
            last_run=each.last_words,
            problem=problem,
        )
        output.event(line)
        last = f", last run {each.last_words}" if each.last_words else ""
        if problem is not None:
            last += f"; passed over: {problem}"
        lines.append(printable(f"`{each.manifest}` at `{each.cron}`, next {each.next_at:%Y-%m-%d %H:%M} UTC{last}"))
    return lines


def _shown_last(job: "LaneJob") -> tuple[bool, bool, bool, int]:
    """Return a key that sorts the job to show of a lane last: the one that runs, else that waits, else that ended last.

    A second run cancels its own job of a lane that another run has. Such a job is newer, and says nothing of the lane.
    """
    return job.status == "doing", job.status == "todo", job.status != "cancelled", job.job_id


def worker_lines(workers: "list[FleetWorker]", timing: "Timing", output: Output) -> Iterator[str]:
    """Yield a line for each worker, and print its event."""
    if not workers:
        yield "no worker: start some with `batch-upload fleet worker`"
    for each in workers:
        is_alive = each.heartbeat_s < timing.dead_after_s
        line = made_line(
            "fleet_worker",
            worker=each.name,
            lanes=each.busy,
            lanes_max=each.lanes,
            since=utc_iso_or_none(each.since),
            heartbeat_s=round(each.heartbeat_s, 3),
            alive=is_alive,
        )
        output.event(line)
        state = "" if is_alive else ", dead"
        of = "" if each.lanes is None else f" of {each.lanes:,}"
        heartbeat = duration_words(each.heartbeat_s)
        yield printable(f"worker {each.name}: {each.busy:,}{of} lanes, heartbeat {heartbeat} ago{state}")


def fleet_lane_line(
    view: "LedgerView", states: Mapping[str, int], jobs: "Mapping[str, LaneJob]", output: Output
) -> str:
    """Return the line of a lane, and print its event."""
    from batch_upload.fleet.lane import TASK_VERSION  # heavy

    label = view.target.label or ""
    job = jobs.get(label)
    words, ending, reason = "no job", None, None
    if job is not None and job.task.version != TASK_VERSION and job.is_open:
        reason = f"of another version of the program: its task is of version {job.task.version}, not {TASK_VERSION}"
        words = f"{job.status}, {reason}"
    elif job is not None:
        words = {"todo": "waits for a worker", "doing": f"runs on {job.worker or 'a worker'}"}.get(
            job.status, job.status
        )
        report = job.report
        if job.status == "doing" and not job.is_alive:
            words += ", which is dead"
        elif report is not None and not job.is_open:
            ending = Exit(ExitCode(report.code), report.reason)
            words = f"ended with {ending.name} on {report.worker}"
            if ending.code is not ExitCode.DONE:
                words += f": {report.reason}"
        elif report is not None and report.again_in_s is not None and report.again_in_s > 0:
            words += f"; the last attempt: {report.reason}"
    line = made_line(
        "fleet_lane",
        target=label,
        account=view.target.account,
        region=view.target.region,
        job=None if job is None else job.status,
        worker=None if job is None or job.status != "doing" else job.worker,
        alive=None if job is None else job.is_alive,
        run_id=None if job is None else job.task.run_id,
        attempts=None if job is None else job.task.attempts + job.attempts,
        states=states,
        code=None if ending is None else int(ending.code),
        name=None if ending is None else ending.name,
        reason=reason if ending is None else ending.reason,
    )
    output.event(line)
    counts = ", ".join(f"{count:,} {state}" for state, count in states.items())
    return printable(f"{label}: {words}; {counts or 'no items'}")
