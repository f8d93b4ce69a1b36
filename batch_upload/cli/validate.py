"""`validate`: every problem in the manifest and its files, at once."""

from batch_upload.cli import messages
from batch_upload.cli.flags import (
    INVALID_FLAGS,
    OUTPUT_FLAGS,
    TARGET_FLAGS,
    Flags,
    ManifestArgument,
    shard_of,
    targets_of,
    truth_of,
)
from batch_upload.cli.output import Output
from batch_upload.cli.verb import Ended, verb
from batch_upload.errors import ExitCode
from batch_upload.model import State
from batch_upload.report.ndjson import problem_line
from batch_upload.settings import RunOptions
from batch_upload.summary import Summary, exit_of


@verb("validate", TARGET_FLAGS, ("allow_outside",), INVALID_FLAGS, OUTPUT_FLAGS)
def validate_command(manifest: ManifestArgument, *, flags: Flags, output: Output) -> Ended:
    """list every problem in the manifest and its files; asks no service"""
    from batch_upload.app.items import invalid  # heavy, like all that follows: only when there is work
    from batch_upload.app.validate import validate_sync

    options = RunOptions(
        allow_outside=truth_of(flags, "allow_outside"),
        targets=targets_of(flags),
        shard=shard_of(flags),
        strict=truth_of(flags, "strict"),
        skip_invalid=truth_of(flags, "skip_invalid"),
    )
    found = validate_sync(manifest, options)
    for problem in found.problems:
        output.event(problem_line(problem))
    if found.problems and not output.json:
        output.error(messages.problems_text(found.problems))
    output.file_warnings(found.warnings)
    output.left_for_later(found.young)
    ending = exit_of(ExitCode.INVALID if found.problems else ExitCode.DONE)
    if found.invalid:
        from batch_upload.app.exits import exit_with_invalid  # it knows what ends a run, and so loads the engine

        ending = exit_with_invalid(exit_of(ExitCode.DONE), found.invalid)
    states = {State.PENDING.value: found.items - found.invalid, State.INVALID.value: found.invalid}
    summary = Summary(
        verb="validate",
        exit=ending,
        batch=found.batch,
        items=found.items,
        states={name: count for name, count in states.items() if count},
        warnings=len(found.warnings),
    )
    if found.invalid:
        left = messages.some_valid_text(str(manifest), items=found.items, invalid=found.invalid, lanes=found.lanes)
        return Ended(summary, lines=(left,))
    if found.problems:
        return Ended(summary, lines=(invalid(manifest, found.problems).message,))
    valid = messages.valid_text(str(manifest), items=found.items, lanes=found.lanes, warnings=len(found.warnings))
    return Ended(summary, lines=(valid,))
