"""Certificates, CA bundles and proxies: what bars the way for good, and what may pass."""

import subprocess
from pathlib import Path

import pytest
from aiobotocore.session import get_session
from botocore import exceptions as sdk
from hypothesis import given
from hypothesis import strategies as st

from batch_upload.errors import AccessFault, NoAnswer
from batch_upload.service.access import Access
from batch_upload.service.network import check_ca_bundle, check_proxy, issuer_of, knock, transport_fault, without_user
from tests.support.barred import ISSUER, answering, make_certificate
from tests.support.command import TIMEOUT_S

URL = "https://sms-voice.us-east-1.amazonaws.com"


def test_without_a_bundle_there_is_nothing_to_check() -> None:
    assert check_ca_bundle(get_session()) is None


def test_a_bundle_in_order_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = make_certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))

    assert check_ca_bundle(get_session()) == str(bundle)


@pytest.mark.parametrize(
    ("content", "wrong"), [(None, "does not exist"), (b"", "PEM"), (b"\x30\x82\x00", "PEM"), (b"-----BEGIN", "PEM")]
)
def test_a_bundle_that_cannot_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, wrong: str
) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_bytes(content)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))

    with pytest.raises(AccessFault) as refused:
        check_ca_bundle(get_session())

    assert f"`AWS_CA_BUNDLE` names `{bundle}`, which" in refused.value.message
    assert wrong in refused.value.message


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("http://127.0.0.1:3128", "http://127.0.0.1:3128"),
        ("http://user:hunter2@127.0.0.1:3128", "http://127.0.0.1:3128"),
        ("proxy.example:3128", "proxy.example:3128"),
        ("user:hunter2@proxy.example:3128", "proxy.example:3128"),
    ],
)
def test_a_proxy_is_shown_without_user_and_password(monkeypatch: pytest.MonkeyPatch, proxy: str, shown: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)

    assert check_proxy(URL) == shown
    assert without_user(proxy) == shown


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "http://", "http://host:port", "http://host:99999"])
def test_a_proxy_that_cannot_be_used_is_told(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)

    with pytest.raises(AccessFault, match="`HTTPS_PROXY` names the proxy"):
        check_proxy(URL)


def test_a_host_that_is_exempt_has_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setenv("NO_PROXY", ".amazonaws.com")

    assert check_proxy(URL) is None


def test_while_a_proxy_is_set_no_answer_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:hunter2@proxy.example:3128")

    fault = transport_fault(sdk.ReadTimeoutError(endpoint_url=URL))

    assert isinstance(fault, NoAnswer)
    assert "(through the proxy `http://proxy.example:3128`)" in fault.message


async def test_a_certificate_that_verifies_lets_through(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)

    with answering(403, tls=certificate) as between:
        answer = await knock(between.url, Access().http_session, ca_bundle=str(certificate), timeout_s=TIMEOUT_S)

    assert (answer.status, answer.date is not None) == (403, True)


async def test_a_certificate_that_does_not_verify_is_barred_and_its_issuer_named(tmp_path: Path) -> None:
    with answering(200, tls=make_certificate(tmp_path)) as between, pytest.raises(AccessFault) as barred:
        await knock(between.url, Access().http_session, ca_bundle=None, timeout_s=TIMEOUT_S)

    assert "does not verify" in barred.value.message
    assert f"issued by `{ISSUER}`" in barred.value.message
    assert between.asked == []


async def test_a_certificate_of_another_host_is_barred(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)

    with (
        answering(200, tls=certificate) as between,
        pytest.raises(AccessFault, match=r"`127\.0\.0\.1` does not verify"),
    ):
        await knock(
            f"https://127.0.0.1:{between.port}", Access().http_session, ca_bundle=str(certificate), timeout_s=TIMEOUT_S
        )


async def test_who_speaks_no_tls_has_not_answered() -> None:
    with answering(200) as between, pytest.raises(NoAnswer):
        await knock(f"https://127.0.0.1:{between.port}", Access().http_session, ca_bundle=None, timeout_s=TIMEOUT_S)


def test_the_issuer_is_read_from_a_certificate(tmp_path: Path) -> None:
    pem = make_certificate(tmp_path)
    der = subprocess.run(
        ["openssl", "x509", "-in", pem, "-outform", "DER"], check=True, capture_output=True, timeout=TIMEOUT_S
    ).stdout

    assert issuer_of(der) == ISSUER


@given(st.binary(max_size=200))
def test_what_is_no_certificate_has_no_issuer(data: bytes) -> None:
    try:
        found = issuer_of(data)
    except (ValueError, StopIteration):
        return
    assert found is None or isinstance(found, str)
