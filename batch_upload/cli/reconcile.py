"""`reconcile`: what the service proves is written into the ledger. Reads only, at the service."""

from typing import Annotated

import typer

from batch_upload.cli import options as option
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.cli.witnesses import Witnesses
from batch_upload.settings import Flags


def reconcile(
    manifest: option.ManifestArgument,
    ledger: option.LedgerOption = None,
    local: option.LocalOption = None,
    profile: option.ProfileOption = None,
    region: option.RegionOption = None,
    endpoint_url: option.EndpointOption = None,
    allow_endpoint: option.AllowEndpointOption = None,
    safe_horizon: option.SafeHorizonOption = None,
    wait_lock: option.WaitLockOption = None,
    allow_outside: option.AllowOutsideOption = None,
    rehash: option.RehashOption = None,
    yes: Annotated[  # noqa: FBT002
        bool, typer.Option("--yes/--no-yes", "-y", help="no question (there is none without a terminal)")
    ] = False,
    json: option.JsonOption = None,
    quiet: option.QuietOption = None,
    verbose: option.VerboseOption = 0,
    log_file: option.LogFileOption = None,
    log_format: option.LogFormatOption = None,
    metrics_file: option.MetricsFileOption = None,
    notify: option.NotifyOption = None,
) -> None:
    """settle unknown outcomes, and rebuild a lost ledger from the identity tags; sends nothing"""
    flags = Flags(
        ledger=ledger,
        local=local,
        profile=profile,
        region=region,
        endpoint_url=endpoint_url,
        allow_endpoint=tuple(allow_endpoint or ()),
        safe_horizon=safe_horizon,
        wait_lock=wait_lock,
        allow_outside=allow_outside,
        rehash=rehash,
        json=json,
        quiet=quiet,
        verbose=verbose,
        log_file=log_file,
        log_format=log_format,
        metrics_file=metrics_file,
        notify=notify,
    )
    output = Output.of(flags, Witnesses(flags))

    def body() -> Ended:
        from batch_upload.cli.reconciling import reconcile_manifest  # heavy: only when there is something to do

        return reconcile_manifest(manifest, flags, output, asks=not yes)

    run_verb("reconcile", manifest, output, body)
