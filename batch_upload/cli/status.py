"""`status`: counts and the items that need attention, from the ledger."""

from batch_upload.cli import options as option
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.settings import Flags


def status(
    manifest: option.ManifestArgument,
    ledger: option.LedgerOption = None,
    local: option.LocalOption = False,  # noqa: FBT002 - a flag on the command line
    allow_outside: option.AllowOutsideOption = False,  # noqa: FBT002
    json: option.JsonOption = False,  # noqa: FBT002
    quiet: option.QuietOption = False,  # noqa: FBT002
    verbose: option.VerboseOption = 0,
) -> None:
    """say how far the items are and which need attention, from the ledger; talks to nobody"""
    flags = Flags(ledger=ledger, local=local, allow_outside=allow_outside, json=json, quiet=quiet, verbose=verbose)
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.recorded import status_of

        return status_of(manifest, flags, output)

    run_verb("status", manifest, output, body)
