"""`upload`: the main job. Resuming and retrying are the same command again."""

from batch_upload.cli.flags import ACCESS, BOUNDS, FILES, LEDGER, OUTPUT, RATES, RECORDS, Flags, ManifestArgument, takes
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.cli.witnesses import Witnesses

WAITING = ("no_wait", "settle_timeout", "safe_horizon", "wait_lock")


@takes(LEDGER, ACCESS, RATES, ("fixed_rate",), BOUNDS, ("only", "max_failures"), WAITING, FILES, OUTPUT, RECORDS)
def upload(manifest: ManifestArgument, *, flags: Flags) -> None:
    """upload what is not there yet, and wait until the service has finished with it"""
    output = Output.of(flags, Witnesses(flags))

    def body() -> Ended:
        from batch_upload.cli.uploading import upload_manifest  # heavy: only when there is something to do

        return upload_manifest(manifest, flags, output)

    run_verb("upload", manifest, output, body)
