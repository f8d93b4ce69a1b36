"""The flags, each declared once, and how they become typed options.

Precedence: flag, then `BATCH_UPLOAD_*` variable, then the manifest, then the AWS configuration, then the default
(`settings.py` has the last three).
"""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, get_type_hints

from typer import Argument, Option

from batch_upload.cli.completion import names_of_targets, states_and_ids
from batch_upload.errors import UsageError
from batch_upload.ledger_address import LedgerAddress, ledger_address
from batch_upload.model import State
from batch_upload.settings import MaxFailures, RunOptions
from batch_upload.targets import Shard

VARIABLE_PREFIX = "BATCH_UPLOAD_"
CONCURRENCY_MAX = 1_000
RATE_MAX = 10_000.0

INDEX_VARIABLES = ("JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX", "SLURM_ARRAY_TASK_ID")
"""Set by an Indexed Job of Kubernetes, an array job of AWS Batch and one of SLURM: which of its processes this is."""
ARRAY_SIZE_VARIABLE = "AWS_BATCH_JOB_ARRAY_SIZE"
"""Set by AWS Batch (user guide, "AWS Batch job environment variables"). The others do not tell a process their size."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}

ManifestArgument = Annotated[Path, Argument(metavar="MANIFEST", help="the YAML file that lists what to upload")]
ManifestOrLedgerArgument = Annotated[
    LedgerAddress,
    Argument(metavar="MANIFEST", help="the YAML file that lists what to upload, or a ledger in its place"),
]
"""`verb` reads it: a path would make one slash of the two in a URL."""


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags as they were typed. None if a flag was not given: its variable, or the default, decides."""

    ledger: Annotated[
        str | None,
        Option(
            "--ledger",
            metavar="PATH or URL",
            help="a file (default: the manifest's path with the suffix `.ledger`), or `postgresql://HOST/DATABASE`",
        ),
    ] = None
    local: Annotated[
        bool | None,
        Option("--local/--no-local", help="the embedded emulator instead of AWS, with a ledger of its own"),
    ] = None
    profile: Annotated[str | None, Option("--profile", metavar="NAME", help="as for the AWS CLI")] = None
    region: Annotated[str | None, Option("--region", metavar="REGION", help="as for the AWS CLI")] = None
    endpoint_url: Annotated[str | None, Option("--endpoint-url", metavar="URL", help="as for the AWS CLI")] = None
    allow_endpoint: Annotated[
        list[str] | None,
        Option("--allow-endpoint", metavar="HOST", help="let documents go to a host that is neither AWS nor loopback"),
    ] = None
    rate: Annotated[
        str | None, Option("--rate", metavar="R", help="create calls a second to start from (default 1)")
    ] = None
    max_rate: Annotated[str | None, Option("--max-rate", metavar="R", help="a ceiling for the rate")] = None
    fixed_rate: Annotated[
        bool | None, Option("--fixed-rate/--no-fixed-rate", help="keep to `--rate`, do not learn")
    ] = None
    concurrency: Annotated[
        str | None, Option("--concurrency", metavar="N", help="calls in flight at most (default 8)")
    ] = None
    deadline: Annotated[
        str | None, Option("--deadline", metavar="50m", help="start nothing after that, drain, exit 12")
    ] = None
    target: Annotated[
        list[str] | None,
        Option(
            "--target",
            metavar="NAME",
            help="only these of the manifest's `targets`: NAME, NAME/REGION or group:NAME (again and again)",
            autocompletion=names_of_targets,
        ),
    ] = None
    shard: Annotated[
        str | None,
        Option(
            "--shard",
            metavar="I/N",
            help="only part I of N of the lanes, I from 0; in a job array `/N` takes its index for I",
        ),
    ] = None
    only: Annotated[
        list[str] | None,
        Option(
            "--only",
            metavar="STATE,… or ID",
            help="a part of the manifest: states, or an id (again and again)",
            autocompletion=states_and_ids,
        ),
    ] = None
    batch: Annotated[
        str | None, Option("--batch", metavar="NAME", help="of a ledger with several batches only this one")
    ] = None
    max_failures: Annotated[
        str | None, Option("--max-failures", metavar="N or N%", help="stop when so many items have failed, exit 23")
    ] = None
    no_wait: Annotated[bool | None, Option("--no-wait/--wait", help="do not wait until the service has finished")] = (
        None
    )
    settle_timeout: Annotated[
        str | None,
        Option("--settle-timeout", metavar="15m", help="wait so long after the last create, then exit 14"),
    ] = None
    safe_horizon: Annotated[
        str | None,
        Option("--safe-horizon", metavar="5m", help="how long after the first attempt a token is trusted"),
    ] = None
    wait_lock: Annotated[
        str | None, Option("--wait-lock", metavar="30m", help="wait for another run instead of exit 11 at once")
    ] = None
    allow_outside: Annotated[
        bool | None, Option("--allow-outside/--no-allow-outside", help="files outside the manifest's folder")
    ] = None
    rehash: Annotated[
        bool | None, Option("--rehash/--no-rehash", help="read every file: do not trust remembered digests")
    ] = None
    strict: Annotated[bool | None, Option("--strict/--no-strict", help="warnings count as problems, exit 21")] = None
    skip_invalid: Annotated[
        bool | None,
        Option("--skip-invalid/--no-skip-invalid", help="send what is valid, report the rest as `invalid`, exit 20"),
    ] = None
    json: Annotated[bool | None, Option("--json/--no-json", help="NDJSON on stdout, people's text on stderr")] = None
    quiet: Annotated[bool | None, Option("--quiet/--no-quiet", "-q", help="say nothing unless a person must act")] = (
        None
    )
    verbose: Annotated[
        int, Option("-v", "--verbose", count=True, show_default=False, help="say more; again for still more")
    ] = 0
    log_file: Annotated[
        str | None, Option("--log-file", metavar="F", help="append everything that happens, with one run id")
    ] = None
    log_format: Annotated[
        str | None, Option("--log-format", metavar="text or json", help="of `--log-file` (default text)")
    ] = None
    metrics_file: Annotated[
        str | None, Option("--metrics-file", metavar="F", help="keep the run's numbers in Prometheus' text format")
    ] = None
    notify: Annotated[
        str | None,
        Option("--notify", metavar="URL", help="ping a monitor: URL/start, then URL, URL/log or URL/fail"),
    ] = None


TARGET_FLAGS = ("target", "shard")
LEDGER_FLAGS = ("ledger", "local")
ACCESS_FLAGS = ("profile", "region", "endpoint_url", "allow_endpoint")
RATE_FLAGS = ("rate", "max_rate")
BOUND_FLAGS = ("concurrency", "deadline")
FILE_FLAGS = ("allow_outside", "rehash")
INVALID_FLAGS = ("strict", "skip_invalid")
OUTPUT_FLAGS = ("json", "quiet", "verbose")
SINK_FLAGS = ("log_file", "log_format", "metrics_file", "notify")


SHARED_LEDGER: Mapping[str, object] = {
    "ledger": Annotated[
        str | None, Option("--ledger", metavar="URL", help="`postgresql://HOST/DATABASE` (default: the manifest's)")
    ]
}
"""How `ledger` is declared for verbs that need one which several machines reach."""


def takes(
    names: Sequence[str], work: Callable[..., object], declared_here: Mapping[str, object] = MappingProxyType({})
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a function the parameters of `work`, without `flags` and `output`, and behind them the named flags.

    `declared_here`: annotations that take the place of those of `Flags`.

    It receives the flags as one `Flags` named `flags`. Its signature and docstring are for typer.
    """
    declared = {**get_type_hints(Flags, include_extras=True), **declared_here}
    own = [
        each.replace(annotation=Annotated[str, ManifestOrLedgerArgument.__metadata__[0]])
        if each.annotation is ManifestOrLedgerArgument
        else each
        for each in signature(work).parameters.values()
        if each.name not in ("flags", "output")
    ]
    shared = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=getattr(Flags(), name), annotation=declared[name])
        for name in names
    ]

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @wraps(work)
        def command(**given: Any) -> None:  # noqa: ANN401 - whatever the flags are
            flags = Flags(**{name: given.pop(name) for name in names})
            function(flags=flags, **given)

        command.__signature__ = Signature([*own, *shared])  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in (*own, *shared)}
        return command

    return decorate


def options_of(flags: Flags, environ: Mapping[str, str] | None = None) -> RunOptions:
    """Lay flags over the environment, which is the process's own unless given. Raises UsageError."""
    text, is_set = partial(text_of, flags, environ=environ), partial(truth_of, flags, environ=environ)

    def seconds(name: str) -> float | None:
        given = text(name)
        if given is None:
            return None
        try:
            return parse_duration(given)
        except ValueError as error:
            message = f"`--{name.replace('_', '-')} {given}` is not a duration"
            raise UsageError(message, hint="such as `90s`, `50m` or `2h`") from error

    def rate(name: str) -> float | None:
        given = text(name)
        if given is None:
            return None
        try:
            found = float(given)
        except ValueError:
            found = math.nan
        if not 0.001 <= found <= RATE_MAX:
            message = f"`--{name.replace('_', '-')} {given}` is not a rate"
            raise UsageError(message, hint="calls a second, such as `5` or `0.5`")
        return found

    default = RunOptions()
    given_calls = text("concurrency")
    concurrency = str(default.concurrency) if given_calls is None else given_calls
    if not re.fullmatch(r"\d{1,4}", concurrency) or not 1 <= int(concurrency) <= CONCURRENCY_MAX:
        raise UsageError(f"`--concurrency {concurrency}` is not a number from 1 to {CONCURRENCY_MAX}")
    ledger, settle_s, horizon_s = text("ledger"), seconds("settle_timeout"), seconds("safe_horizon")
    states, ids = parse_only(tuple(flags.only or ()) or _split(text("only")))
    return RunOptions(
        ledger=None if ledger is None else ledger_address(ledger, may_have_password=flags.ledger is None),
        local=is_set("local"),
        profile=text("profile"),
        region=text("region"),
        endpoint_url=text("endpoint_url"),
        allowed_hosts=frozenset(flags.allow_endpoint or _split(text("allow_endpoint"))),
        rate=rate("rate"),
        max_rate=rate("max_rate"),
        fixed_rate=is_set("fixed_rate"),
        concurrency=int(concurrency),
        deadline_s=seconds("deadline"),
        only_states=states,
        only_ids=ids,
        batch=text("batch"),
        targets=targets_of(flags, environ),
        shard=shard_of(flags, environ),
        max_failures=parse_max_failures(text("max_failures")),
        wait=not is_set("no_wait"),
        settle_timeout_s=default.settle_timeout_s if settle_s is None else settle_s,
        safe_horizon_s=default.safe_horizon_s if horizon_s is None else horizon_s,
        wait_lock_s=seconds("wait_lock") or default.wait_lock_s,
        allow_outside=is_set("allow_outside"),
        rehash=is_set("rehash"),
        strict=is_set("strict"),
        skip_invalid=is_set("skip_invalid"),
    )


def targets_of(flags: Flags, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the names of `--target`, or those of its variable, which commas separate."""
    return tuple(flags.target or _split(text_of(flags, "target", environ)))


def shard_of(flags: Flags, environ: Mapping[str, str] | None = None) -> Shard | None:
    """Return the shard of `I/N`, or of `/N` with the index that the scheduler gave; None without. Raises UsageError."""
    given = text_of(flags, "shard", environ)
    if given is None:
        return None
    found = re.fullmatch(r"([0-9]{1,6})?/([0-9]{1,6})", given.strip())
    if found is None or int(found[2]) == 0:
        raise UsageError(
            f"`--shard {given}` is not a shard",
            hint="`0/8` is the first of 8, and `/8` the one whose index the scheduler of a job array gives",
        )
    count = int(found[2])
    index, source = (int(found[1]), "") if found[1] else _index_in_array(count, environ)
    if index >= count:
        raise UsageError(
            f"`--shard {given}`: there is no shard {index} of {count}{source}",
            hint=f"shards are counted from 0 to {count - 1}, and so must be the indexes of a job array",
        )
    return Shard(index, count)


def _index_in_array(count: int, environ: Mapping[str, str] | None) -> tuple[int, str]:
    """Return the index that the scheduler gave to this process, and its variable in words. Raises UsageError."""
    env = os.environ if environ is None else environ
    given = {name: env[name] for name in INDEX_VARIABLES if env.get(name)}
    shown = " and ".join(f"`{name}={value}`" for name, value in given.items())
    if not given:
        raise UsageError(
            f"`--shard /{count}` takes its index from `{'`, `'.join(INDEX_VARIABLES)}`, and none of them is set",
            hint=f"name the index: `--shard 0/{count}`",
        )
    if len(set(given.values())) > 1:
        raise UsageError(f"`--shard /{count}`: {shown} disagree", hint=f"name the index: `--shard 0/{count}`")
    index = next(iter(given.values()))
    if not re.fullmatch(r"[0-9]{1,6}", index):
        raise UsageError(f"`--shard /{count}`: {shown} is not an index", hint=f"such as `--shard 0/{count}`")
    size = env.get(ARRAY_SIZE_VARIABLE)
    if size and size != str(count):
        raise UsageError(
            f"`--shard /{count}` in an array of {size} jobs (`{ARRAY_SIZE_VARIABLE}`): some lanes would have no job",
            hint=f"`--shard /{size}`, or an array of {count}",
        )
    return int(index), f" ({shown})"


def truth_of(flags: Flags, name: str, environ: Mapping[str, str] | None = None) -> bool:
    """Return a switch: the flag if it was given, else the variable of its name. Raises UsageError."""
    given: bool | None = getattr(flags, name)
    if given is not None:
        return given
    text = (os.environ if environ is None else environ).get(VARIABLE_PREFIX + name.upper())
    if text is None or text.lower() in ("0", "false", "no", "off"):
        return False
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    raise UsageError(f"`{VARIABLE_PREFIX}{name.upper()}={text}` is neither true nor false", hint="such as `1` or `0`")


def text_of(flags: Flags, name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """Return a setting's text: the flag if it was given, else the variable of its name; None without either."""
    flag = getattr(flags, name)
    if isinstance(flag, str):
        return flag
    return (os.environ if environ is None else environ).get(VARIABLE_PREFIX + name.upper()) or None


def parse_duration(text: str) -> float:
    """Return the seconds of `90s`, `50m`, `2h`, `1h30m`; a bare number is seconds. Raises ValueError."""
    bare = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", bare):
        return float(bare)
    parts = _DURATION.findall(bare)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != bare.replace(" ", ""):
        raise ValueError(f"`{text}` is not a duration")
    return math.fsum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_only(words: tuple[str, ...]) -> tuple[frozenset[State], frozenset[str]]:
    """Return the states and ids of `--only`. A word is a list of states if each part is one; else it is an id."""
    states: set[State] = set()
    ids: set[str] = set()
    for word in words:
        parts = [part.strip() for part in word.split(",")]
        if parts and all(part in set(State) for part in parts):
            states.update(State(part) for part in parts)
        else:
            ids.add(word)
    return frozenset(states), frozenset(ids)


def parse_max_failures(text: str | None) -> MaxFailures:
    """Return the limit of `5` or `10%`. Raises UsageError."""
    if text is None:
        return MaxFailures()
    found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)(%?)", text.strip())
    if found is None or (not found[2] and "." in found[1]) or float(found[1]) == 0:
        raise UsageError(f"`--max-failures {text}` is neither a number nor a percentage", hint="`5` or `10%`")
    if not found[2]:
        return MaxFailures(count=int(found[1]))
    share = float(found[1]) / 100
    if share > 1:
        raise UsageError(f"`--max-failures {text}` is above 100%", hint="at most `100%`")
    return MaxFailures(share=share)


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()
