"""`prune`: deletes attachments that this tool created and that the manifest no longer lists."""

from typing import Annotated

import typer

from batch_upload.cli import options as option
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.cli.witnesses import Witnesses
from batch_upload.settings import Flags


def prune(
    manifest: option.ManifestArgument,
    ledger: option.LedgerOption = None,
    local: option.LocalOption = None,
    profile: option.ProfileOption = None,
    region: option.RegionOption = None,
    endpoint_url: option.EndpointOption = None,
    allow_endpoint: option.AllowEndpointOption = None,
    concurrency: option.ConcurrencyOption = None,
    wait_lock: option.WaitLockOption = None,
    allow_outside: option.AllowOutsideOption = None,
    yes: Annotated[  # noqa: FBT002
        bool, typer.Option("--yes/--no-yes", "-y", help="no question; without a terminal nothing is deleted otherwise")
    ] = False,
    max_deletes: Annotated[
        int | None,
        typer.Option("--max-deletes", metavar="N", min=0, help="with `--yes`: default half of what the batch has"),
    ] = None,
    json: option.JsonOption = None,
    quiet: option.QuietOption = None,
    verbose: option.VerboseOption = 0,
    log_file: option.LogFileOption = None,
    log_format: option.LogFormatOption = None,
    metrics_file: option.MetricsFileOption = None,
    notify: option.NotifyOption = None,
) -> None:
    """delete attachments that this tool created and that the manifest no longer lists; shows them first"""
    flags = Flags(
        ledger=ledger,
        local=local,
        profile=profile,
        region=region,
        endpoint_url=endpoint_url,
        allow_endpoint=tuple(allow_endpoint or ()),
        concurrency=concurrency,
        wait_lock=wait_lock,
        allow_outside=allow_outside,
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
        from batch_upload.cli.pruning import Consent, pruned

        return pruned(manifest, flags, output, Consent(is_given=yes, max_deletes=max_deletes))

    run_verb("prune", manifest, output, body)
