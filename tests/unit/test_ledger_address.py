"""Where a ledger is: a path, or the URL of a database without its password."""

from pathlib import Path

import pytest

from batch_upload.errors import UsageError
from batch_upload.ledger_address import PostgresUrl, ledger_address


def test_what_has_no_scheme_is_a_path() -> None:
    assert ledger_address("june.ledger") == Path("june.ledger")
    assert ledger_address("postgresql/june.ledger") == Path("postgresql/june.ledger")


@pytest.mark.parametrize(
    "text", ["postgresql://db.internal/uploads", "postgres://ann@db:5433/uploads?sslmode=verify-full"]
)
def test_a_url_is_shown_as_it_was_given(text: str) -> None:
    assert ledger_address(text) == PostgresUrl(text, text)


def test_the_password_of_a_url_is_used_and_never_shown() -> None:
    for text in (
        "postgresql://ann:secret@db/uploads",
        "postgresql://ann@db/uploads?password=secret&sslmode=require",
        "postgresql://ann@db/uploads?pass%77ord=secret",
        "postgresql://ann@db/uploads?sslkey=a.key&sslpassword=secret",
    ):
        address = ledger_address(text, may_have_password=True)
        assert isinstance(address, PostgresUrl)
        assert address.secret == text
        assert "secret" not in f"{address} {address!r}"
        with pytest.raises(UsageError) as refused:
            ledger_address(text)
        assert "secret" not in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ann:12/secret@db/uploads",
        "postgresql://ann:secret/more@db/uploads",
        "postgresql://ann:secret?more@db/uploads",
        "postgresql://ann:12?secret@db/uploads",
        "postgresql://ann:12#secret@db/uploads",
        "postgresql://ann:12@secret@db/uploads",
        "postgresql://ann:secret\N{ACCOUNT OF}@db/uploads",
        "postgresql:/ann:secret@db/uploads",
        "mysql://ann:secret@db/uploads",
    ],
)
def test_a_password_that_breaks_the_url_is_not_shown(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        ledger_address(text, may_have_password=True)
    assert "secret" not in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize("hosts", ["db:5432,db2:5433", "[::1]:5432", "127.0.0.1", "", "ann@db,db2"])
def test_several_hosts_with_their_ports_are_taken(hosts: str) -> None:
    assert ledger_address(f"postgresql://{hosts}/uploads") == PostgresUrl(*[f"postgresql://{hosts}/uploads"] * 2)


@pytest.mark.parametrize(
    "text",
    ["mysql://db/uploads", "postgresql://db", "postgresql://db/", "postgresql://[db/uploads", "postgresql:/db/uploads"],
)
def test_what_cannot_be_a_ledger_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        ledger_address(text)
