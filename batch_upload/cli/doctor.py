"""`doctor`: is everything there that a run needs? Reads only."""

from pathlib import Path
from typing import Annotated

import typer

from batch_upload.cli import options as option
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.settings import Flags


def doctor(
    manifest: Annotated[
        Path | None, typer.Argument(metavar="[MANIFEST]", help="look at its target and its ledger, too")
    ] = None,
    ledger: option.LedgerOption = None,
    local: option.LocalOption = None,
    profile: option.ProfileOption = None,
    region: option.RegionOption = None,
    endpoint_url: option.EndpointOption = None,
    allow_endpoint: option.AllowEndpointOption = None,
    allow_outside: option.AllowOutsideOption = None,
    json: option.JsonOption = None,
    quiet: option.QuietOption = None,
    verbose: option.VerboseOption = 0,
) -> None:
    """check credentials, account, Region, permissions, clock, capacity and ledger; changes nothing"""
    flags = Flags(
        ledger=ledger,
        local=local,
        profile=profile,
        region=region,
        endpoint_url=endpoint_url,
        allow_endpoint=tuple(allow_endpoint or ()),
        allow_outside=allow_outside,
        json=json,
        quiet=quiet,
        verbose=verbose,
    )
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.examining import examined

        return examined(manifest, flags, output)

    run_verb("doctor", manifest, output, body)
