"""What libpq is given for a connection: TLS, time limits, the password, several servers."""

from pathlib import Path

import pytest

from batch_upload.errors import LedgerUnusable, UsageError
from batch_upload.ledger.postgres.parameters import PostgresParameters, is_here, parameters_of
from batch_upload.ledger_address import PostgresUrl, ledger_address

SECRET = "canary-7f3a"


@pytest.fixture(autouse=True)
def nothing_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGSSLMODE", "PGSSLROOTCERT", "PGSERVICE", "PGUSER", "PGPASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def parameters(text: str, *, writes: bool = True) -> PostgresParameters:
    address = ledger_address(text, may_have_password=True)
    assert isinstance(address, PostgresUrl)
    return parameters_of(address, writes=writes)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1", "/run/postgresql", "@socket"])
def test_this_machine_is_reached_without_tls(host: str) -> None:
    assert is_here(host)


@pytest.mark.parametrize("host", ["db.internal", "10.0.0.1", "localhost.example.com", "fe80::1"])
def test_any_other_host_must_prove_who_it_is(host: str) -> None:
    assert not is_here(host)
    made = parameters(f"postgresql://ann@{f'[{host}]' if ':' in host else host}/uploads")
    assert made.has_tls
    assert made.keywords()["sslmode"] == "verify-full"
    assert Path(made.keywords()["sslrootcert"]).exists() or made.keywords()["sslrootcert"] == "system"


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require", "verify-ca"])
def test_a_weaker_sslmode_is_refused(mode: str) -> None:
    with pytest.raises(LedgerUnusable, match=f"`sslmode={mode}` is too weak"):
        parameters(f"postgresql://ann@db.internal/uploads?sslmode={mode}")
    assert parameters(f"postgresql://ann@127.0.0.1/uploads?sslmode={mode}").keywords()["sslmode"] == mode


@pytest.mark.parametrize("mode", ["disable", "allow", "require", "verify-ca"])
def test_a_weaker_sslmode_of_a_variable_is_refused(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSSLMODE", mode)
    with pytest.raises(LedgerUnusable, match=f"`sslmode={mode}` is too weak"):
        parameters("postgresql://ann@db.internal/uploads")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///uploads?host=db.internal",
        "postgresql://127.0.0.1,db.internal/uploads",
        "postgresql://localhost/uploads?hostaddr=10.0.0.1",
        "postgresql:///uploads?service=ledger",
    ],
)
def test_tls_is_demanded_wherever_the_host_is_named(url: str) -> None:
    assert parameters(url).keywords()["sslmode"] == "verify-full"


def test_tls_is_demanded_of_a_host_that_a_variable_or_a_service_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert not parameters("postgresql:///uploads").has_tls
    monkeypatch.setenv("PGHOST", "db.internal")
    assert parameters("postgresql:///uploads").has_tls
    monkeypatch.delenv("PGHOST")
    services = tmp_path / "services"
    services.write_text("[ledger]\nhost=db.internal\n[weak]\nhost=db.internal\nsslmode=require\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    monkeypatch.setenv("PGSERVICE", "ledger")
    assert parameters("postgresql:///uploads").keywords()["sslmode"] == "verify-full"
    assert parameters("postgresql:///uploads?service=weak").keywords()["sslmode"] == "verify-full"
    monkeypatch.setenv("PGSERVICE", "weak")
    with pytest.raises(LedgerUnusable, match="`sslmode=require` is too weak"):
        parameters("postgresql:///uploads")


def test_certificates_to_trust_are_those_that_are_named_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    url = "postgresql://ann@db.internal/uploads"
    assert parameters(f"{url}?sslrootcert=/etc/rds.pem").keywords()["sslrootcert"] == "/etc/rds.pem"
    own = tmp_path / ".postgresql" / "root.crt"
    own.parent.mkdir()
    own.touch()
    assert parameters(url).keywords()["sslrootcert"] == str(own)
    monkeypatch.setenv("PGSSLROOTCERT", "/etc/other.pem")
    assert "sslrootcert" not in parameters(url).keywords()


def test_gss_is_not_tried_in_place_of_tls_and_time_limits_are_set() -> None:
    made = parameters("postgresql://ann@db.internal/uploads").keywords()
    assert made["gssencmode"] == "disable"
    assert made["application_name"].startswith("batch-upload/")
    assert {made[name] for name in ("connect_timeout", "keepalives_idle", "tcp_user_timeout")} == {"5", "10", "15000"}
    assert parameters("postgresql://db/uploads?connect_timeout=9").keywords()["connect_timeout"] == "9"


def test_a_writer_takes_the_server_that_takes_writes_and_a_reader_the_primary_of_several() -> None:
    one, several = "postgresql://db/uploads", "postgresql://db1,db2:5433/uploads"
    assert parameters(one).keywords()["target_session_attrs"] == "read-write"
    assert parameters(one, writes=False).keywords()["target_session_attrs"] == "any"
    assert parameters(several).keywords()["target_session_attrs"] == "read-write"
    assert parameters(several, writes=False).keywords()["target_session_attrs"] == "primary"
    assert parameters(several).keywords()["host"] == "db1,db2"


@pytest.mark.parametrize(
    "key", ["ssl", "sslmod", "gssencmode", "sslkeylogfile", "replication", "pass", "client_encoding"]
)
def test_a_key_that_cannot_be_used_is_named_without_its_value(key: str) -> None:
    with pytest.raises(UsageError, match=f"has `{key}`, which cannot be used") as refused:
        parameters(f"postgresql://ann@db/uploads?{key}={SECRET}")
    assert SECRET not in f"{refused.value.message} {refused.value.hint}"


def test_no_secret_is_shown_by_parameters_or_their_faults() -> None:
    made = parameters(f"postgresql://ann:{SECRET}@db/uploads?sslkey=a.key&sslpassword={SECRET}")
    assert made.keywords()["password"] == SECRET
    assert SECRET not in f"{made} {made!r}"
    with pytest.raises(UsageError) as refused:
        parameters(f"postgresql://ann:{SECRET}%zz@db/uploads")
    assert SECRET not in f"{refused.value.message} {refused.value.hint}"


def test_a_token_of_iam_is_made_for_each_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    import batch_upload.app  # noqa: F401 - it says how tokens are made

    made = parameters("postgresql://uploads@db.example.com:6432/uploads?aws_iam=eu-central-1")
    token = made.keywords()["password"]
    assert token.startswith("db.example.com:6432/?Action=connect&DBUser=uploads&")
    assert "%2Feu-central-1%2Frds-db%2Faws4_request" in token
    assert "X-Amz-Expires=900" in token
    assert SECRET not in token
    assert "aws_iam" not in made.keywords()
    assert "AKIAEXAMPLE" not in f"{made!r}"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://db/uploads?aws_iam=eu-central-1",
        "postgresql://ann@db1,db2/uploads?aws_iam=eu-central-1",
        "postgresql://ann@/uploads?aws_iam=eu-central-1",
        "postgresql://ann:word@db/uploads?aws_iam=eu-central-1",
        "postgresql://ann@db/uploads?aws_iam=",
    ],
)
def test_iam_needs_one_host_a_user_a_region_and_no_password(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSFILE", "/nowhere")
    with pytest.raises(UsageError, match="aws_iam"):
        parameters(url)


def test_iam_without_credentials_is_a_sentence() -> None:
    import batch_upload.app  # noqa: F401 - it says how tokens are made

    made = parameters("postgresql://ann@db/uploads?aws_iam=eu-central-1")
    with pytest.raises(LedgerUnusable, match="no AWS credentials"):
        made.keywords()
