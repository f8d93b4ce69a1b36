"""The configuration of a run, typed. `cli/flags.py` makes it of what users type."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from batch_upload.errors import UsageError
from batch_upload.ledger_address import LedgerAddress, PostgresUrl, ledger_address
from batch_upload.model import State
from batch_upload.targets import LaneChoice, Shard, Target

LEDGER_SUFFIX = ".ledger"
"""Of a manifest's ledger, if no option and no key names another."""
LOCAL_ACCOUNT = "123456789012"
LOCAL_REGION = "us-east-1"
RATE_DEFAULT = 1.0
"""Create calls a second of an account whose quota was never raised (the service's documentation)."""
CONCURRENCY_DEFAULT = 8
STANDARD_INPUT = Path("-")
"""The manifest on standard input, or in a pipe in its place. Its folder is the working directory."""
NO_MANIFEST = Path("/dev/null/none.yaml")
"""The manifest where none is named: there can be no file in its folder."""
EXTERNAL_ID_VARIABLE = "env:"
"""Begins an external id that is read from an environment variable."""


@dataclass(frozen=True, slots=True)
class MaxFailures:
    """`N` or `N%`: one of the two is set. `share`, from 0 to 1, is of what a run sends or gives other tags."""

    count: int | None = None
    share: float | None = None

    def is_reached(self, failed: int, *, of: int) -> bool:
        """Return whether so many failures of so many items are too many."""
        if self.count is not None:
            return failed >= self.count
        return self.share is not None and of > 0 and failed >= max(1.0, self.share * of)


NO_LIMIT = MaxFailures()
"""Any number of items may fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The options of a run. Durations in seconds, rates in calls a second.

    If `ledger`, `profile` or `region` is None the manifest decides, then the AWS configuration. Other None values mean
    no limit, or the default of the account (`rate`).
    """

    ledger: LedgerAddress | None = None
    local: bool = False
    """Use the embedded emulator instead of AWS, with a ledger of its own."""
    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    allowed_hosts: frozenset[str] = frozenset()
    """Hosts besides AWS and loopback that documents may be sent to."""
    rate: float | None = None
    """Creates a second to start from."""
    max_rate: float | None = None
    fixed_rate: bool = False
    concurrency: int = CONCURRENCY_DEFAULT
    deadline_s: float | None = None
    only_states: frozenset[State] = frozenset()
    only_ids: frozenset[str] = frozenset()
    batch: str | None = None
    """Only this batch of a ledger in place of the manifest."""
    targets: tuple[str, ...] = ()
    """Only these lanes of the manifest's `targets`: `acme`, `acme/us-east-1` or `group:NAME`; empty for all."""
    shard: Shard | None = None
    """Only the lanes of this part of the manifest's `targets`; of those that `targets` names, if it is given, too."""
    max_failures: MaxFailures = NO_LIMIT
    wait: bool = True
    """Wait until the service has finished, for at most `settle_timeout_s` after the last create."""
    settle_timeout_s: float = 900.0
    safe_horizon_s: float = 300.0
    """How long a token is trusted to make a repeated request safe."""
    wait_lock_s: float = 0.0
    allow_outside: bool = False
    """Whether files may be outside the manifest's folder."""
    rehash: bool = False
    """Read every file, also where the ledger remembers its digest."""
    strict: bool = False
    """Whether a warning about the manifest's files is a problem, with which nothing is sent."""
    skip_invalid: bool = False
    """Go on without the entries and files that cannot be sent. Counts for `upload`, `plan` and `validate` only."""

    @property
    def lanes(self) -> LaneChoice:
        """The lanes that `targets` and `shard` choose."""
        return LaneChoice(self.targets, self.shard)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(RunOptions):
    """The options of a run completed by its manifest. Only the AWS configuration decides the rest."""

    ledger: LedgerAddress
    local_state: Path
    role_arn: str | None
    account: str | None
    sts_endpoint_configured: bool
    external_id: str | None = field(default=None, repr=False)
    """As the manifest has it: `external_id_of` resolves `env:NAME`, where AWS is reached."""
    lane_label: str | None = None
    """`Target.label` of the lane; None for the only lane of a manifest without `targets`."""


def settings_of(
    options: RunOptions,
    *,
    manifest: Path,
    ledger: str | None = None,
    target: Target | None = None,
    targets: Sequence[Target] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Return the options completed by the manifest's `ledger` and `target`.

    `targets`: the lanes of the manifest, empty if it has no `targets`, None if they are not known. Without them the
    Region may also come from `AWS_REGION`, which botocore does not read. `environ`: the process's own unless given.
    Raises UsageError for `--target` or `--shard` with a manifest that has no such targets, and for a Region with one
    that has any.
    """
    env = os.environ if environ is None else environ
    wanted = target or Target()
    if targets is not None:
        options.lanes.of(targets)
    if targets and options.region is not None:
        raise UsageError(
            "`--region` cannot be used with a manifest that has `targets`: each of them has its Regions",
            hint=f"`--target NAME/{options.region}` chooses one",
        )
    given = {each.name: getattr(options, each.name) for each in fields(RunOptions)}
    address = given["ledger"] = options.ledger or default_ledger(manifest, ledger, local=options.local)
    given["profile"] = options.profile or wanted.profile
    if not targets:
        given["region"] = options.region or wanted.region or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION")
    return Settings(
        **given,
        local_state=local_state_path(manifest, address),
        role_arn=wanted.role_arn,
        account=wanted.account,
        sts_endpoint_configured="AWS_ENDPOINT_URL_STS" in env,
        external_id=wanted.external_id,
    )


def settings_of_lane(settings: Settings, target: Target) -> Settings:
    """Return the settings of one lane of several. `settings` are those of the whole run.

    A flag or variable for the profile counts where the target names none.
    """
    return replace(
        settings,
        profile=target.profile or settings.profile,
        region=target.region,
        role_arn=target.role_arn,
        account=target.account,
        external_id=target.external_id,
        lane_label=target.label,
    )


def external_id_of(settings: Settings) -> str | None:
    """Return the external id of the role. Raises UsageError for `env:NAME` if the variable is not set."""
    given = settings.external_id
    if given is None or not given.startswith(EXTERNAL_ID_VARIABLE):
        return given
    name = given.removeprefix(EXTERNAL_ID_VARIABLE)
    value = os.environ.get(name)
    if not value:
        raise UsageError(f"the variable `{name}`, which `external_id` of the manifest names, is not set")
    return value


def default_ledger(manifest: Path, named: str | None, *, local: bool) -> LedgerAddress:
    """Return where the ledger is if no option says so. `named` is the manifest's `ledger`. Raises UsageError."""
    if manifest == STANDARD_INPUT and (local or named is None):
        also = "" if local else ", or `ledger:` in the manifest"
        raise UsageError(
            "a manifest on standard input has no name for its ledger to go by", hint=f"`--ledger PATH` names one{also}"
        )
    if local:
        return manifest.with_suffix(".local.ledger")
    if named is None:
        return manifest.with_suffix(LEDGER_SUFFIX)
    address = ledger_address(named)
    return address if isinstance(address, PostgresUrl) else manifest.parent / address


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return where this machine keeps what it could find out again (XDG Base Directory Specification)."""
    env = os.environ if environ is None else environ
    base = env.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path("~/.cache").expanduser()) / "batch-upload"


def local_state_path(manifest: Path, ledger: LedgerAddress) -> Path:
    """Return the path of the state of the embedded service of `--local`: beside the manifest if that is a file."""
    if manifest == STANDARD_INPUT and isinstance(ledger, Path):
        return ledger.with_suffix(".local.service")
    return manifest.with_suffix(".local.service")


def variable_naming(value: str, names: Iterable[str], environ: Mapping[str, str] | None = None) -> str | None:
    """Return the first of these environment variables that has this value, or None."""
    env = os.environ if environ is None else environ
    return next((name for name in names if env.get(name) == value), None)
