"""`manifest schema`: the JSON Schema of a manifest, for editors."""

import json
import sys

import typer

from batch_upload.cli import options as option
from batch_upload.cli.output import Ended, Output, run_verb
from batch_upload.settings import Flags

app = typer.Typer(help="make manifests, and help editors with them", no_args_is_help=True)


@app.command("schema")
def schema(
    json_: option.JsonOption = False,  # noqa: FBT002 - a flag on the command line
    quiet: option.QuietOption = False,  # noqa: FBT002
) -> None:
    """print the JSON Schema of a manifest"""
    output = Output.of(Flags(json=json_, quiet=quiet))

    def body() -> Ended:
        from batch_upload.errors import ExitCode
        from batch_upload.manifest.schema import manifest_schema
        from batch_upload.report.summary import Summary, exit_of

        if output.json:
            output.event({"event": "schema", "schema_version": 1, "schema": manifest_schema()})
        else:
            sys.stdout.write(json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n")
        return Ended(Summary(verb="manifest schema", exit=exit_of(ExitCode.DONE)), lines=())

    run_verb("manifest schema", None, output, body)
