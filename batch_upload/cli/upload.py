"""`upload`: the main job. Resuming and retrying are the same command again."""

from pathlib import Path
from typing import NoReturn

from batch_upload.cli import options as option
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.cli.witnesses import Witnesses
from batch_upload.settings import Flags

EXAMPLE = "example: batch-upload upload june.yaml --deadline 50m"


def upload(
    manifest: option.ManifestArgument,
    ledger: option.LedgerOption = None,
    local: option.LocalOption = None,
    profile: option.ProfileOption = None,
    region: option.RegionOption = None,
    endpoint_url: option.EndpointOption = None,
    allow_endpoint: option.AllowEndpointOption = None,
    rate: option.RateOption = None,
    max_rate: option.MaxRateOption = None,
    fixed_rate: option.FixedRateOption = None,
    concurrency: option.ConcurrencyOption = None,
    deadline: option.DeadlineOption = None,
    only: option.OnlyOption = None,
    max_failures: option.MaxFailuresOption = None,
    no_wait: option.NoWaitOption = None,
    settle_timeout: option.SettleTimeoutOption = None,
    safe_horizon: option.SafeHorizonOption = None,
    wait_lock: option.WaitLockOption = None,
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
    """upload what is not there yet, and wait until the service has finished with it"""
    flags = Flags(
        ledger=ledger,
        local=local,
        profile=profile,
        region=region,
        endpoint_url=endpoint_url,
        allow_endpoint=tuple(allow_endpoint or ()),
        rate=rate,
        max_rate=max_rate,
        fixed_rate=fixed_rate,
        concurrency=concurrency,
        deadline=deadline,
        only=tuple(only or ()),
        max_failures=max_failures,
        no_wait=no_wait,
        settle_timeout=settle_timeout,
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
    _run(manifest, flags)


def _run(manifest: Path, flags: Flags) -> NoReturn:
    output = Output.of(flags, Witnesses(flags))

    def body() -> Ended:
        from batch_upload.cli.uploading import upload_manifest  # heavy: only when there is something to do

        return upload_manifest(manifest, flags, output)

    run_verb("upload", manifest, output, body)
