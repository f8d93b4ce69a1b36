"""What `validate` does."""

from pathlib import Path

from batch_upload.app.items import check
from batch_upload.cli import messages
from batch_upload.cli.output import Ended, Output
from batch_upload.clock import counting_s
from batch_upload.errors import ExitCode, ManifestInvalid
from batch_upload.model import State
from batch_upload.report.ndjson import problem_line
from batch_upload.summary import Summary, exit_of


def validated(path: Path, output: Output, *, allow_outside: bool) -> Ended:
    """Say all problems, or that there are none."""
    started = counting_s()
    try:
        checked = check(path, allow_outside=allow_outside)
    except ManifestInvalid as error:
        for problem in error.problems:
            output.event(problem_line(problem))
        if not output.json:
            output.error(messages.problems_text(error.problems))
        elapsed_s = counting_s() - started
        return Ended(
            Summary(verb="validate", exit=exit_of(ExitCode.INVALID), elapsed_s=elapsed_s),
            lines=(error.message,),
        )
    output.file_warnings(checked.warnings)
    summary = Summary(
        verb="validate",
        exit=exit_of(ExitCode.DONE),
        batch=checked.manifest.batch,
        items=checked.count,
        states={State.PENDING.value: checked.count} if checked.count else {},
        elapsed_s=counting_s() - started,
        warnings=len(checked.warnings),
    )
    told = messages.valid_text(str(path), items=checked.count, warnings=len(checked.warnings))
    return Ended(summary, lines=(told,))
