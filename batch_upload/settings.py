"""Everything that a run is configured with, as one frozen value. What users type becomes this in `cli/flags.py`."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from batch_upload.model import State

LOCAL_ACCOUNT = "123456789012"
LOCAL_REGION = "us-east-1"
RATE_DEFAULT = 1.0
"""Create calls a second of an account whose quota was never raised (the service's documentation)."""
CONCURRENCY_DEFAULT = 8


@dataclass(frozen=True, slots=True)
class MaxFailures:
    """`N` or `N%`: one of both is set. `share` is from 0 to 1."""

    count: int | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is configured with. Durations in seconds, rates in calls a second; None: no limit, or not chosen."""

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


def variable_naming(value: str, names: Iterable[str], environ: Mapping[str, str] | None = None) -> str | None:
    """The first of these environment variables that has this value, or None."""
    env = os.environ if environ is None else environ
    return next((name for name in names if env.get(name) == value), None)
