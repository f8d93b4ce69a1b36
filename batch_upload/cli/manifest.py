"""`manifest new` makes manifests, `manifest schema` prints their JSON Schema for editors."""

from pathlib import Path
from typing import Annotated

import typer

from batch_upload.cli.examples import epilog
from batch_upload.cli.flags import OUTPUT, Flags, takes, truth_of
from batch_upload.cli.output import Ended, Output, run_verb

app = typer.Typer(help="make manifests, and help editors with them", no_args_is_help=True)

NEW_HELP = "write a manifest of a folder's documents, or of a CSV file's rows; asks no service"


@app.command("new", epilog=epilog("manifest new"), help=NEW_HELP, short_help=NEW_HELP)
@takes(("allow_outside",), OUTPUT)
def new(
    source: Annotated[Path, typer.Argument(metavar="DIR or CSV", help="a folder of documents, or a table of them")],
    out: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="default: standard output, for this folder")
    ] = None,
    force: Annotated[bool, typer.Option("--force/--no-force", help="replace FILE if there is one")] = False,  # noqa: FBT002
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="NAME", help="default: made of the folder's or file's name")
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="KEY=VALUE", help="a tag of all; may hold `{stem}`, or `{col:NAME}` of a CSV"),
    ] = None,
    max_size: Annotated[
        str | None, typer.Option("--max-size", metavar="500KB", help="the size that a file may have")
    ] = None,
    *,
    flags: Flags,
) -> None:
    """Write a manifest: see NEW_HELP."""
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.making import Wish, made

        outside = truth_of(flags, "allow_outside")
        wish = Wish(source, out, force, batch, tuple(tag or ()), max_size, outside)
        return made(wish, output)

    run_verb("manifest new", None, output, body)


@app.command("schema", epilog=epilog("manifest schema"))
@takes(("json", "quiet"))
def schema(*, flags: Flags) -> None:
    """print the JSON Schema of a manifest"""
    output = Output.of(flags)

    def body() -> Ended:
        from batch_upload.cli.files import standard_output
        from batch_upload.errors import ExitCode
        from batch_upload.manifest.schema import manifest_schema, schema_text
        from batch_upload.summary import Summary, exit_of

        if output.json:
            output.event({"event": "schema", "schema_version": 1, "schema": manifest_schema()})
        else:
            with standard_output() as stream:
                stream.write(schema_text())
        return Ended(Summary(verb="manifest schema", exit=exit_of(ExitCode.DONE)), lines=())

    run_verb("manifest schema", None, output, body)
