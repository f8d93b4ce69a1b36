"""`verify`: compare the ledger with what the service holds. Changes nothing, here or there."""

from typing import Annotated

import typer

from batch_upload.cli.flags import ACCESS, FILES, LEDGER, OUTPUT, RECORDS, Flags, ManifestArgument, takes
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.cli.witnesses import Witnesses


@takes(LEDGER, ACCESS, FILES, OUTPUT, RECORDS)
def verify(
    manifest: ManifestArgument,
    tags: Annotated[  # noqa: FBT002
        bool, typer.Option("--tags/--no-tags", help="read every attachment's tags, 10 a second, and compare them too")
    ] = False,
    *,
    flags: Flags,
) -> None:
    """compare the ledger with what AWS holds; changes nothing"""
    output = Output.of(flags, Witnesses(flags))

    def body() -> Ended:
        from batch_upload.cli.verifying import verify_manifest

        return verify_manifest(manifest, flags, output, reads_tags=tags)

    run_verb("verify", manifest, output, body)
