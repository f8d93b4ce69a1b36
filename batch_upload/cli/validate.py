"""`validate`: every problem of the manifest and its files, at once."""

from batch_upload.cli import options as option
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.settings import Flags, truth_of


def validate(
    manifest: option.ManifestArgument,
    allow_outside: option.AllowOutsideOption = False,  # noqa: FBT002 - a flag on the command line
    json: option.JsonOption = False,  # noqa: FBT002
    quiet: option.QuietOption = False,  # noqa: FBT002
    verbose: option.VerboseOption = 0,
) -> None:
    """say every problem of the manifest and its files, at once; talks to nobody"""
    flags = Flags(allow_outside=allow_outside, json=json, quiet=quiet, verbose=verbose)
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.validating import validated

        return validated(manifest, output, allow_outside=truth_of(flags, "allow_outside"))

    run_verb("validate", manifest, output, body)
