"""Flags over environment over manifest over default."""

from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_upload.cli.flags import Flags, options_of, parse_duration, parse_max_failures, parse_only, truth_of
from batch_upload.errors import ExitCode, UsageError
from batch_upload.model import State
from batch_upload.settings import MaxFailures, Settings, settings_of
from batch_upload.targets import Target

JUNE = Path("batches/june.yaml")


def settled(
    flags: Flags | None = None,
    environ: dict[str, str] | None = None,
    target: Target | None = None,
    ledger: str | None = None,
) -> Settings:
    environ = environ or {}
    return settings_of(
        options_of(flags or Flags(), environ), manifest=JUNE, ledger=ledger, target=target, environ=environ
    )


def test_the_defaults_are_the_contracts() -> None:
    found = settled()

    assert found.ledger == Path("batches/june.ledger")
    assert (found.concurrency, found.rate, found.max_rate, found.fixed_rate) == (8, None, None, False)
    assert (found.safe_horizon_s, found.settle_timeout_s, found.wait_lock_s) == (300, 900, 0)
    assert (found.deadline_s, found.max_failures, found.wait, found.allow_outside) == (None, MaxFailures(), True, False)


@pytest.mark.parametrize(
    ("name", "flag", "variable"),
    [
        ("profile", "by-flag", "by-variable"),
        ("region", "eu-west-1", "eu-west-2"),
        ("endpoint_url", "http://127.0.0.1:1", "http://127.0.0.1:2"),
    ],
)
def test_a_flag_wins_over_a_variable_and_a_variable_over_the_manifest(name: str, flag: str, variable: str) -> None:
    target = Target(region="eu-west-3", profile="by-manifest")
    given = {
        "profile": Flags(profile=flag),
        "region": Flags(region=flag),
        "endpoint_url": Flags(endpoint_url=flag),
    }
    environ = {f"BATCH_UPLOAD_{name.upper()}": variable}

    assert getattr(settled(given[name], environ, target), name) == flag
    assert getattr(settled(environ=environ, target=target), name) == variable


def test_the_manifest_wins_over_the_aws_configuration() -> None:
    environ = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}

    assert settled(environ=environ, target=Target(region="eu-west-3")).region == "eu-west-3"
    assert settled(environ=environ).region == "eu-west-1"
    assert settled(environ={"AWS_DEFAULT_REGION": "eu-west-2"}).region == "eu-west-2"
    assert settled().region is None


def test_the_guard_and_the_role_are_the_manifests_alone() -> None:
    target = Target(account="123456789012", role_arn="arn:aws:iam::123456789012:role/uploader")

    found = settled(target=target)

    assert (found.account, found.role_arn) == (target.account, target.role_arn)


@pytest.mark.parametrize(
    ("flags", "named", "environ", "expected"),
    [
        (Flags(), None, {}, "batches/june.ledger"),
        (Flags(), "../july.ledger", {}, "batches/../july.ledger"),
        (Flags(), "july.ledger", {"BATCH_UPLOAD_LEDGER": "env.ledger"}, "env.ledger"),
        (Flags(ledger="flag.ledger"), "july.ledger", {"BATCH_UPLOAD_LEDGER": "env.ledger"}, "flag.ledger"),
        (Flags(local=True), "july.ledger", {}, "batches/june.local.ledger"),
        (Flags(local=True, ledger="flag.ledger"), None, {}, "flag.ledger"),
    ],
)
def test_the_ledger_is_found(flags: Flags, named: str | None, environ: dict[str, str], expected: str) -> None:
    assert settled(flags, environ, ledger=named).ledger == Path(expected)


def test_a_local_run_never_touches_the_manifests_own_ledger() -> None:
    found = settled(Flags(local=True), ledger="june.ledger")

    assert found.ledger != settled(ledger="june.ledger").ledger
    assert found.local_state == Path("batches/june.local.service")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("50m", 3_000), ("2h", 7_200), ("1h30m", 5_400), ("1d", 86_400), ("250ms", 0.25), ("1.5m", 90),
     ("30", 30), ("0", 0), (" 5M ", 300), ("1h 30m", 5_400)],
)  # fmt: skip
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5m", "5 parsecs", "m", "5mm", "5m!", "1e3", "inf", "nan", "5,5m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@given(st.integers(0, 10**6), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_every_whole_number_with_a_unit_is_a_duration(number: int, unit: str) -> None:
    assert parse_duration(f"{number}{unit}") >= 0


@given(st.text(max_size=12))
def test_a_duration_is_read_or_refused_and_nothing_else(text: str) -> None:
    with suppress(ValueError):
        assert parse_duration(text) >= 0


@pytest.mark.parametrize(
    "flags",
    [
        Flags(rate="0"), Flags(rate="-1"), Flags(rate="nan"), Flags(rate="inf"), Flags(rate="fast"), Flags(rate="1e9"),
        Flags(max_rate="0"), Flags(concurrency="0"), Flags(concurrency="1001"), Flags(concurrency="8.5"),
        Flags(concurrency="-1"), Flags(deadline="soon"), Flags(safe_horizon="never"), Flags(settle_timeout="x"),
        Flags(wait_lock="x"), Flags(max_failures="0"), Flags(max_failures="0%"), Flags(max_failures="101%"),
        Flags(max_failures="1.5"), Flags(max_failures="-1"), Flags(max_failures="few"),
    ],
)  # fmt: skip
def test_a_flag_that_cannot_be_is_a_usage_error_that_says_what_can(flags: Flags) -> None:
    with pytest.raises(UsageError) as refused:
        settled(flags)

    assert refused.value.exit_code is ExitCode.USAGE
    assert refused.value.message.startswith("`--")


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, MaxFailures()), ("5", MaxFailures(count=5)), ("10%", MaxFailures(share=0.1)),
     ("100%", MaxFailures(share=1.0)), ("0.5%", MaxFailures(share=0.005))],
)  # fmt: skip
def test_failures_are_a_number_or_a_share(text: str | None, expected: MaxFailures) -> None:
    assert parse_max_failures(text) == expected


@pytest.mark.parametrize(
    ("words", "states", "ids"),
    [
        (("failed",), {State.FAILED}, set()),
        (("failed,pending",), {State.FAILED, State.PENDING}, set()),
        (("failed", "parked"), {State.FAILED, State.PARKED}, set()),
        (("acme/loa",), set(), {"acme/loa"}),
        (("failed,acme",), set(), {"failed,acme"}),
        (("failed", "acme/loa"), {State.FAILED}, {"acme/loa"}),
        ((), set(), set()),
    ],
)
def test_only_takes_states_and_ids(words: tuple[str, ...], states: set[State], ids: set[str]) -> None:
    assert tuple(map(set, parse_only(words))) == (states, ids)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", True), ("true", True), ("YES", True), ("on", True), ("0", False), ("no", False), ("off", False),
     ("False", False)],
)  # fmt: skip
def test_a_switch_may_be_a_variable(text: str, expected: bool) -> None:  # noqa: FBT001
    assert truth_of(Flags(), "local", {"BATCH_UPLOAD_LOCAL": text}) is expected


@pytest.mark.parametrize("name", ["local", "fixed_rate", "no_wait", "allow_outside", "rehash", "json", "quiet"])
@pytest.mark.parametrize("given", [True, False])
def test_a_switch_that_was_given_wins_over_its_variable_both_ways(name: str, given: bool) -> None:  # noqa: FBT001
    environ = {f"BATCH_UPLOAD_{name.upper()}": "0" if given else "1"}

    assert truth_of(Flags(**{name: given}), name, environ) is given  # type: ignore[arg-type]


def test_a_switch_that_is_neither_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        truth_of(Flags(), "local", {"BATCH_UPLOAD_LOCAL": "perhaps"})


def test_lists_may_be_variables() -> None:
    found = settled(
        environ={"BATCH_UPLOAD_ONLY": "failed, parked", "BATCH_UPLOAD_ALLOW_ENDPOINT": "a.example, b.example"}
    )

    assert found.only_states == {State.FAILED, State.PARKED}
    assert found.allowed_hosts == {"a.example", "b.example"}


def test_settings_have_no_field_that_nobody_can_set() -> None:
    assert {field.name for field in fields(Flags)} >= {"ledger", "local", "profile", "region", "only", "json"}
    assert Settings.__dataclass_params__.frozen  # type: ignore[attr-defined]


def test_targets_are_given_again_and_again_or_in_a_variable_with_commas() -> None:
    environ = {"BATCH_UPLOAD_TARGET": "acme, group:env:prod,beta/us-east-1"}

    assert options_of(Flags(), {}).targets == ()
    assert options_of(Flags(), environ).targets == ("acme", "group:env:prod", "beta/us-east-1")
    assert options_of(Flags(target=["gamma"]), environ).targets == ("gamma",)
