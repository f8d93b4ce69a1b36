"""`validate`: every problem in the manifest and its files, at once."""

from functools import partial
from pathlib import Path

from batch_upload.cli.flags import OUTPUT, Flags, ManifestArgument, takes, truth_of
from batch_upload.cli.output import Ended, Output, run_verb


@takes(("allow_outside",), OUTPUT)
def validate(manifest: ManifestArgument, *, flags: Flags) -> None:
    """list every problem in the manifest and its files; asks no service"""
    output = Output.of(flags)
    run_verb("validate", manifest, output, partial(_validate, manifest, flags, output))


def _validate(path: Path, flags: Flags, output: Output) -> Ended:
    from batch_upload.app.items import invalid  # heavy, like all that follows: only when there is work
    from batch_upload.app.validate import validate_sync
    from batch_upload.cli import messages
    from batch_upload.clock import counting_s
    from batch_upload.errors import ExitCode
    from batch_upload.model import State
    from batch_upload.report.ndjson import problem_line
    from batch_upload.settings import RunOptions
    from batch_upload.summary import Summary, exit_of

    started = counting_s()
    found = validate_sync(path, RunOptions(allow_outside=truth_of(flags, "allow_outside")))
    for problem in found.problems:
        output.event(problem_line(problem))
    if found.problems and not output.json:
        output.error(messages.problems_text(found.problems))
    output.file_warnings(found.warnings)
    summary = Summary(
        verb="validate",
        exit=exit_of(ExitCode.INVALID if found.problems else ExitCode.DONE),
        batch=found.batch,
        items=found.items,
        states={State.PENDING.value: found.items} if found.items else {},
        elapsed_s=counting_s() - started,
        warnings=len(found.warnings),
    )
    if found.problems:
        return Ended(summary, lines=(invalid(path, found.problems).message,))
    return Ended(summary, lines=(messages.valid_text(str(path), items=found.items, warnings=len(found.warnings)),))
