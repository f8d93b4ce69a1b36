"""The flags that several verbs share, each written once. A switch that was not given is None: its variable decides."""

from pathlib import Path
from typing import Annotated

import typer

from batch_upload.cli.completing import states_and_ids
from batch_upload.settings import Flags

ManifestArgument = Annotated[Path, typer.Argument(metavar="MANIFEST", help="the YAML file that lists what to upload")]
LedgerOption = Annotated[
    str | None, typer.Option("--ledger", metavar="PATH", help="default: the manifest's path with the suffix `.ledger`")
]
LocalOption = Annotated[
    bool | None,
    typer.Option("--local/--no-local", help="the embedded emulator instead of AWS, with a ledger of its own"),
]
ProfileOption = Annotated[str | None, typer.Option("--profile", metavar="NAME", help="as for the AWS CLI")]
RegionOption = Annotated[str | None, typer.Option("--region", metavar="REGION", help="as for the AWS CLI")]
EndpointOption = Annotated[str | None, typer.Option("--endpoint-url", metavar="URL", help="as for the AWS CLI")]
AllowEndpointOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-endpoint", metavar="HOST", help="let documents go to a host that is neither AWS nor loopback"
    ),
]
RateOption = Annotated[
    str | None, typer.Option("--rate", metavar="R", help="create calls a second to start from (default 1)")
]
MaxRateOption = Annotated[str | None, typer.Option("--max-rate", metavar="R", help="a ceiling for the rate")]
FixedRateOption = Annotated[
    bool | None, typer.Option("--fixed-rate/--no-fixed-rate", help="keep to `--rate`, do not learn")
]
ConcurrencyOption = Annotated[
    str | None, typer.Option("--concurrency", metavar="N", help="calls in flight at most (default 8)")
]
DeadlineOption = Annotated[
    str | None, typer.Option("--deadline", metavar="50m", help="start nothing after that, drain, exit 12")
]
OnlyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="STATE,… or ID",
        help="a part of the manifest: states, or an id (again and again)",
        autocompletion=states_and_ids,
    ),
]
MaxFailuresOption = Annotated[
    str | None, typer.Option("--max-failures", metavar="N or N%", help="stop when so many items have failed, exit 23")
]
NoWaitOption = Annotated[
    bool | None, typer.Option("--no-wait/--wait", help="do not wait until the service has finished")
]
SettleTimeoutOption = Annotated[
    str | None,
    typer.Option("--settle-timeout", metavar="15m", help="wait so long after the last create, then exit 14"),
]
SafeHorizonOption = Annotated[
    str | None,
    typer.Option("--safe-horizon", metavar="5m", help="how long after the first attempt a token is trusted"),
]
WaitLockOption = Annotated[
    str | None, typer.Option("--wait-lock", metavar="30s", help="wait for another run instead of exit 11 at once")
]
AllowOutsideOption = Annotated[
    bool | None, typer.Option("--allow-outside/--no-allow-outside", help="files outside the manifest's folder")
]
RehashOption = Annotated[
    bool | None, typer.Option("--rehash/--no-rehash", help="read every file: do not trust remembered digests")
]
JsonOption = Annotated[bool | None, typer.Option("--json/--no-json", help="NDJSON on stdout, people's text on stderr")]
QuietOption = Annotated[
    bool | None, typer.Option("--quiet/--no-quiet", "-q", help="say nothing unless a person must act")
]
VerboseOption = Annotated[
    int, typer.Option("-v", "--verbose", count=True, show_default=False, help="say more; again for still more")
]

LogFileOption = Annotated[
    str | None, typer.Option("--log-file", metavar="F", help="append everything that happens, with one run id")
]
LogFormatOption = Annotated[
    str | None, typer.Option("--log-format", metavar="text or json", help="of `--log-file` (default text)")
]
MetricsFileOption = Annotated[
    str | None, typer.Option("--metrics-file", metavar="F", help="keep the run's numbers in Prometheus' text format")
]
NotifyOption = Annotated[
    str | None,
    typer.Option("--notify", metavar="URL", help="ping a monitor: URL/start, then URL, URL/log or URL/fail"),
]


def told(*, verbose: int = 0, quiet: bool | None = None, json: bool | None = None) -> Flags:
    """The flags of a verb that only says something."""
    return Flags(verbose=verbose, quiet=quiet, json=json)
