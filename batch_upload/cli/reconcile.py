"""`reconcile`: what the service proves is written into the ledger. Reads only, at the service."""

from typing import Annotated

import typer

from batch_upload.cli.flags import ACCESS, FILES, LEDGER, OUTPUT, RECORDS, Flags, ManifestArgument, takes
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.cli.witnesses import Witnesses


@takes(LEDGER, ACCESS, ("safe_horizon", "wait_lock"), FILES, OUTPUT, RECORDS)
def reconcile(
    manifest: ManifestArgument,
    yes: Annotated[  # noqa: FBT002
        bool, typer.Option("--yes/--no-yes", "-y", help="no question (there is none without a terminal)")
    ] = False,
    *,
    flags: Flags,
) -> None:
    """settle unknown outcomes, and rebuild a lost ledger from the identity tags; sends nothing"""
    output = Output.of(flags, Witnesses(flags))

    def body() -> Ended:
        from batch_upload.cli.reconciling import reconcile_manifest  # heavy: only when there is something to do

        return reconcile_manifest(manifest, flags, output, asks=not yes)

    run_verb("reconcile", manifest, output, body)
