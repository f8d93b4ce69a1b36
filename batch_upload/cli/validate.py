"""`validate`: every problem in the manifest and its files, at once."""

from batch_upload.cli import options as option
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.settings import Flags, truth_of


def validate(
    manifest: option.ManifestArgument,
    allow_outside: option.AllowOutsideOption = None,
    json: option.JsonOption = None,
    quiet: option.QuietOption = None,
    verbose: option.VerboseOption = 0,
) -> None:
    """list every problem in the manifest and its files; asks no service"""
    flags = Flags(allow_outside=allow_outside, json=json, quiet=quiet, verbose=verbose)
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.validating import validated

        return validated(manifest, output, allow_outside=truth_of(flags, "allow_outside"))

    run_verb("validate", manifest, output, body)
