"""Flags, environment and manifest made into one frozen `Settings`. The only reader of `os.environ`.

Precedence: flag, then `BATCH_UPLOAD_*` variable, then the manifest, then the AWS configuration, then the default.
"""

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from batch_upload.errors import UsageError
from batch_upload.model import State, Target

PREFIX = "BATCH_UPLOAD_"
LOCAL_ACCOUNT = "123456789012"
LOCAL_REGION = "us-east-1"
RATE_DEFAULT = 1.0
"""Create calls a second of an account whose quota was never raised (the service's documentation)."""
CONCURRENCY_DEFAULT = 8
CONCURRENCY_MAX = 1_000
RATE_MAX = 10_000.0

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class Flags:
    """What was typed, as it was typed. None where a flag was not given."""

    ledger: str | None = None
    local: bool | None = None
    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    allow_endpoint: tuple[str, ...] = ()
    rate: str | None = None
    max_rate: str | None = None
    fixed_rate: bool | None = None
    concurrency: str | None = None
    deadline: str | None = None
    only: tuple[str, ...] = ()
    max_failures: str | None = None
    no_wait: bool | None = None
    settle_timeout: str | None = None
    safe_horizon: str | None = None
    wait_lock: str | None = None
    allow_outside: bool | None = None
    rehash: bool | None = None
    json: bool | None = None
    quiet: bool | None = None
    verbose: int = 0
    log_file: str | None = None
    log_format: str | None = None
    metrics_file: str | None = None
    notify: str | None = None


@dataclass(frozen=True, slots=True)
class MaxFailures:
    """`N` or `N%`: one of both is set. `share` is from 0 to 1."""

    count: int | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a run is told. Durations in seconds, rates in calls a second; None: no limit, or not chosen."""

    ledger: Path
    local: bool
    local_state: Path
    profile: str | None
    region: str | None
    role_arn: str | None
    account: str | None
    endpoint_url: str | None
    sts_endpoint_configured: bool
    allowed_hosts: frozenset[str]
    rate: float | None
    max_rate: float | None
    fixed_rate: bool
    concurrency: int
    deadline_s: float | None
    only_states: frozenset[State]
    only_ids: frozenset[str]
    max_failures: MaxFailures
    wait: bool
    settle_timeout_s: float
    safe_horizon_s: float
    wait_lock_s: float
    allow_outside: bool
    rehash: bool


def resolve(
    flags: Flags,
    *,
    manifest: Path,
    ledger: str | None = None,
    target: Target | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Lay flags over environment over manifest. `ledger` and `target` are the manifest's. Raises UsageError.

    `environ` is the process's own unless it is given.
    """
    env = os.environ if environ is None else environ
    text = _Texts(flags, env)
    wanted = target or Target()
    local = truth_of(flags, "local", env)
    states, ids = parse_only(flags.only or _split(text.get("only")))
    return Settings(
        ledger=ledger_path(flags, manifest, ledger, env),
        local=local,
        local_state=local_state_path(manifest),
        profile=text.get("profile") or wanted.profile,
        region=text.get("region") or wanted.region or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION"),
        role_arn=wanted.role_arn,
        account=wanted.account,
        endpoint_url=text.get("endpoint_url"),
        sts_endpoint_configured="AWS_ENDPOINT_URL_STS" in env,
        allowed_hosts=frozenset(flags.allow_endpoint or _split(text.get("allow_endpoint"))),
        rate=_optional_rate("rate", text.get("rate")),
        max_rate=_optional_rate("max-rate", text.get("max_rate")),
        fixed_rate=truth_of(flags, "fixed_rate", env),
        concurrency=_concurrency(text.get("concurrency")),
        deadline_s=_optional_duration("deadline", text.get("deadline")),
        only_states=states,
        only_ids=ids,
        max_failures=parse_max_failures(text.get("max_failures")),
        wait=not truth_of(flags, "no_wait", env),
        settle_timeout_s=_duration("settle-timeout", text.get("settle_timeout"), default_s=900.0),
        safe_horizon_s=_duration("safe-horizon", text.get("safe_horizon"), default_s=300.0),
        wait_lock_s=_duration("wait-lock", text.get("wait_lock"), default_s=0.0),
        allow_outside=truth_of(flags, "allow_outside", env),
        rehash=truth_of(flags, "rehash", env),
    )


def truth_of(flags: Flags, name: str, environ: Mapping[str, str] | None = None) -> bool:
    """A switch: the flag if it was given, else the variable of its name. Raises UsageError."""
    env = os.environ if environ is None else environ
    given: bool | None = getattr(flags, name)
    return _truth(env.get(PREFIX + name.upper())) if given is None else given


def text_of(flags: Flags, name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """A setting's text: the flag if it was given, else the variable of its name; None where neither says anything."""
    return _Texts(flags, os.environ if environ is None else environ).get(name)


def ledger_path(flags: Flags, manifest: Path, named: str | None, environ: Mapping[str, str] | None = None) -> Path:
    """Where the ledger is; `named` is the manifest's `ledger`. Raises UsageError as `resolve`."""
    chosen = text_of(flags, "ledger", environ)
    if chosen is not None:
        return Path(chosen)
    if truth_of(flags, "local", environ):
        return manifest.with_suffix(".local.ledger")
    if named is not None:
        return manifest.parent / named
    return manifest.with_suffix(".ledger")


def local_state_path(manifest: Path) -> Path:
    """Where the embedded service of `--local` keeps its state."""
    return manifest.with_suffix(".local.service")


def variable_naming(value: str, names: Iterable[str], environ: Mapping[str, str] | None = None) -> str | None:
    """The first of these environment variables that has this value, or None."""
    env = os.environ if environ is None else environ
    return next((name for name in names if env.get(name) == value), None)


class _Texts:
    """A setting's text: the flag, or the variable of its name."""

    def __init__(self, flags: Flags, environ: Mapping[str, str]) -> None:
        self._flags = flags
        self._environ = environ

    def get(self, name: str) -> str | None:
        flag = getattr(self._flags, name)
        if isinstance(flag, str):
            return flag
        return self._environ.get(PREFIX + name.upper()) or None


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `50m`, `2h`, `1h30m`; a bare number is seconds. Raises ValueError."""
    bare = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", bare):
        return float(bare)
    parts = _DURATION.findall(bare)
    if not parts or "".join(f"{number}{unit}" for number, unit in parts) != bare.replace(" ", ""):
        raise ValueError(f"`{text}` is not a duration")
    return math.fsum(float(number) * _SECONDS[unit] for number, unit in parts)


def parse_only(words: tuple[str, ...]) -> tuple[frozenset[State], frozenset[str]]:
    """The states and the ids that `--only` names. A word is a list of states if each part is one; else it is an id."""
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
    """`5` or `10%`. Raises UsageError."""
    if text is None:
        return MaxFailures()
    found = re.fullmatch(r"(\d{1,9}(?:\.\d+)?)(%?)", text.strip())
    if found is None or (not found[2] and "." in found[1]) or float(found[1]) == 0:
        raise UsageError(f"`--max-failures {text}` is neither a number nor a percentage", hint="`5` or `10%`")
    if not found[2]:
        return MaxFailures(count=int(found[1]))
    share = float(found[1]) / 100
    if share > 1:
        raise UsageError(f"`--max-failures {text}` is more than all", hint="at most `100%`")
    return MaxFailures(share=share)


def _optional_rate(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0.001 <= rate <= RATE_MAX:
        raise UsageError(f"`--{name} {text}` is not a rate", hint="calls a second, such as `5` or `0.5`")
    return rate


def _concurrency(text: str | None) -> int:
    if text is None:
        return CONCURRENCY_DEFAULT
    if not re.fullmatch(r"\d{1,4}", text) or not 1 <= int(text) <= CONCURRENCY_MAX:
        raise UsageError(f"`--concurrency {text}` is not a number from 1 to {CONCURRENCY_MAX}")
    return int(text)


def _optional_duration(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"`--{name} {text}` is not a duration", hint="such as `90s`, `50m` or `2h`") from error


def _duration(name: str, text: str | None, *, default_s: float) -> float:
    found = _optional_duration(name, text)
    return default_s if found is None else found


def _truth(text: str | None) -> bool:
    if text is None:
        return False
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise UsageError(f"`{text}` is neither true nor false", hint="such as `1` or `0`")


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()
