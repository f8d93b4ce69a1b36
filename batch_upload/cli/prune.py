"""`prune`: deletes attachments that this tool created and that the manifest no longer lists."""

from typing import Annotated

import typer

from batch_upload.cli.flags import ACCESS, LEDGER, OUTPUT, RECORDS, Flags, ManifestArgument, takes
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.cli.witnesses import Witnesses


@takes(LEDGER, ACCESS, ("concurrency", "wait_lock", "allow_outside"), OUTPUT, RECORDS)
def prune(
    manifest: ManifestArgument,
    yes: Annotated[  # noqa: FBT002
        bool, typer.Option("--yes/--no-yes", "-y", help="no question; without a terminal nothing is deleted otherwise")
    ] = False,
    max_deletes: Annotated[
        int | None,
        typer.Option("--max-deletes", metavar="N", min=0, help="with `--yes`: default half of what the batch has"),
    ] = None,
    *,
    flags: Flags,
) -> None:
    """delete attachments that this tool created and that the manifest no longer lists; shows them first"""
    output = Output.of(flags, Witnesses(flags))

    def body() -> Ended:
        from batch_upload.cli.pruning import Consent, pruned

        return pruned(manifest, flags, output, Consent(is_given=yes, max_deletes=max_deletes))

    run_verb("prune", manifest, output, body)
