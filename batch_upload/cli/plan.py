"""`plan`: what `upload` would do and why; changes nothing."""

from typing import Annotated

import typer

from batch_upload.cli import options as option
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.cli.witnesses import Witnesses
from batch_upload.settings import Flags


def plan(
    manifest: option.ManifestArgument,
    ledger: option.LedgerOption = None,
    local: option.LocalOption = None,
    offline: Annotated[bool, typer.Option("--offline/--no-offline", help="ask nobody; needs no credentials")] = False,  # noqa: FBT002
    detailed_exitcode: Annotated[  # noqa: FBT002
        bool, typer.Option("--detailed-exitcode/--no-detailed-exitcode", help="exit 3 where there is work")
    ] = False,
    profile: option.ProfileOption = None,
    region: option.RegionOption = None,
    endpoint_url: option.EndpointOption = None,
    allow_endpoint: option.AllowEndpointOption = None,
    rate: option.RateOption = None,
    max_rate: option.MaxRateOption = None,
    concurrency: option.ConcurrencyOption = None,
    deadline: option.DeadlineOption = None,
    only: option.OnlyOption = None,
    allow_outside: option.AllowOutsideOption = None,
    rehash: option.RehashOption = None,
    json: option.JsonOption = None,
    quiet: option.QuietOption = None,
    verbose: option.VerboseOption = 0,
    log_file: option.LogFileOption = None,
    log_format: option.LogFormatOption = None,
) -> None:
    """list what `upload` would do and why, how many calls, how long, and whether the capacity suffices"""
    flags = Flags(
        ledger=ledger,
        local=local,
        profile=profile,
        region=region,
        endpoint_url=endpoint_url,
        allow_endpoint=tuple(allow_endpoint or ()),
        rate=rate,
        max_rate=max_rate,
        concurrency=concurrency,
        deadline=deadline,
        only=tuple(only or ()),
        allow_outside=allow_outside,
        rehash=rehash,
        json=json,
        quiet=quiet,
        verbose=verbose,
        log_file=log_file,
        log_format=log_format,
    )
    output = Output.of(flags, Witnesses(flags, only_log=True))

    def body() -> Ended:
        from batch_upload.cli.planning import planned

        return planned(manifest, flags, output, offline=offline, detailed_exitcode=detailed_exitcode)

    run_verb("plan", manifest, output, body)
