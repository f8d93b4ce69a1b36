"""`validate`: every problem in the manifest and its files, at once."""

from batch_upload.cli.flags import OUTPUT, Flags, ManifestArgument, takes, truth_of
from batch_upload.cli.output import Ended, Output, run_verb


@takes(("allow_outside",), OUTPUT)
def validate(manifest: ManifestArgument, *, flags: Flags) -> None:
    """list every problem in the manifest and its files; asks no service"""
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.validating import validated

        return validated(manifest, output, allow_outside=truth_of(flags, "allow_outside"))

    run_verb("validate", manifest, output, body)
