"""Who is told of a run: counters, people, machines."""

import sys

from batch_upload.cli.output import Output
from batch_upload.report.ndjson import NdjsonObserver
from batch_upload.report.observers import Observers, RunObserver
from batch_upload.report.plain import PlainObserver, VerboseObserver


def audience_of(output: Output) -> Observers:
    """The observers that `--json`, `--quiet`, `-v`, the terminal and the witnesses ask for."""
    everybody = (_people(output), *_machines(output), *output.witnesses.observers())
    return Observers(*everybody, on_lost=output.lost)


def _people(output: Output) -> RunObserver:
    if output.verbose:
        lines = Observers() if output.quiet else PlainObserver(sys.stderr)  # the requests would tear a drawing
        return Observers(lines, VerboseObserver(sys.stderr, level=output.verbose))
    if output.quiet:
        return Observers()
    from batch_upload.report.console import people_observer  # what draws: `--quiet` does without

    return people_observer(sys.stderr)


def _machines(output: Output) -> list[RunObserver]:
    return [NdjsonObserver(sys.stdout)] if output.json else [Observers()]
