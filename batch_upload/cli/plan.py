"""`plan`: what `upload` would do and why; changes nothing."""

from typing import Annotated

import typer

from batch_upload.cli.flags import ACCESS, BOUNDS, FILES, LEDGER, OUTPUT, RATES, Flags, ManifestArgument, takes
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.cli.witnesses import Witnesses


@takes(LEDGER, ACCESS, RATES, BOUNDS, ("only",), FILES, OUTPUT, ("log_file", "log_format"))
def plan(
    manifest: ManifestArgument,
    offline: Annotated[bool, typer.Option("--offline/--no-offline", help="ask nobody; needs no credentials")] = False,  # noqa: FBT002
    detailed_exitcode: Annotated[  # noqa: FBT002
        bool, typer.Option("--detailed-exitcode/--no-detailed-exitcode", help="exit 3 where there is work")
    ] = False,
    *,
    flags: Flags,
) -> None:
    """list what `upload` would do and why, how many calls, how long, and whether the capacity suffices"""
    output = Output.of(flags, Witnesses(flags, only_log=True))

    def body() -> Ended:
        from batch_upload.cli.planning import planned

        return planned(manifest, flags, output, offline=offline, detailed_exitcode=detailed_exitcode)

    run_verb("plan", manifest, output, body)
