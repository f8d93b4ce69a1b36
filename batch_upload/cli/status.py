"""`status`: counts and the items that need attention, from the ledger."""

from batch_upload.cli.flags import LEDGER, OUTPUT, Flags, ManifestArgument, takes
from batch_upload.cli.output import Ended, Output, run_verb


@takes(LEDGER, ("allow_outside",), OUTPUT)
def status(manifest: ManifestArgument, *, flags: Flags) -> None:
    """count the items by state and name those that need attention, from ledger and files"""
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.status_text import status_of

        return status_of(manifest, flags, output)

    run_verb("status", manifest, output, body)
