"""`verify`: compare the ledger with what the service holds. Changes nothing, here or there."""

from batch_upload.cli import options as option
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.cli.witnesses import Witnesses
from batch_upload.settings import Flags


def verify(
    manifest: option.ManifestArgument,
    ledger: option.LedgerOption = None,
    local: option.LocalOption = None,
    profile: option.ProfileOption = None,
    region: option.RegionOption = None,
    endpoint_url: option.EndpointOption = None,
    allow_endpoint: option.AllowEndpointOption = None,
    allow_outside: option.AllowOutsideOption = None,
    rehash: option.RehashOption = None,
    json: option.JsonOption = None,
    quiet: option.QuietOption = None,
    verbose: option.VerboseOption = 0,
    log_file: option.LogFileOption = None,
    log_format: option.LogFormatOption = None,
    metrics_file: option.MetricsFileOption = None,
    notify: option.NotifyOption = None,
) -> None:
    """compare the ledger with what AWS holds; changes nothing"""
    flags = Flags(
        ledger=ledger,
        local=local,
        profile=profile,
        region=region,
        endpoint_url=endpoint_url,
        allow_endpoint=tuple(allow_endpoint or ()),
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
        from batch_upload.cli.verifying import verify_manifest

        return verify_manifest(manifest, flags, output)

    run_verb("verify", manifest, output, body)
