"""`status`: counts and the items that need attention, from the ledger."""

from batch_upload.cli import options as option
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.settings import Flags


def status(
    manifest: option.ManifestArgument,
    ledger: option.LedgerOption = None,
    local: option.LocalOption = None,
    allow_outside: option.AllowOutsideOption = None,
    json: option.JsonOption = None,
    quiet: option.QuietOption = None,
    verbose: option.VerboseOption = 0,
) -> None:
    """count the items by state and name those that need attention, from the ledger alone"""
    flags = Flags(ledger=ledger, local=local, allow_outside=allow_outside, json=json, quiet=quiet, verbose=verbose)
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.recorded import status_of

        return status_of(manifest, flags, output)

    run_verb("status", manifest, output, body)
