"""Who is let in to what `watch` serves."""

import pytest

from batch_upload.watch.guard import Place, Refused, admitted

TOKEN = "k3y-" + "x" * 39
PORT = 40_123


def asked(
    path: str = f"/{TOKEN}/", *, method: str = "GET", host: str | None = f"127.0.0.1:{PORT}", port: int = PORT
) -> Place | int:
    found = admitted(method=method, host=host, path=path, token=TOKEN, port=port)
    return found.status if isinstance(found, Refused) else found


@pytest.mark.parametrize("host", [f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"LOCALHOST:{PORT}", f"[::1]:{PORT}"])
def test_loopback_under_its_own_names_is_let_in(host: str) -> None:
    assert asked(host=host) is Place.PAGE
    assert asked(f"/{TOKEN}/changes", host=host) is Place.CHANGES


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "127.0.0.1",
        "127.0.0.1:80",
        f"evil.example:{PORT}",
        f"127.0.0.1.evil.example:{PORT}",
        f"localhost.:{PORT}",
        f"0.0.0.0:{PORT}",
        f"[::1:{PORT}",
        f"127.0.0.1:{PORT}, evil.example",
        f"user@127.0.0.1:{PORT}",
        f" 127.0.0.1:{PORT}",
    ],
)
def test_any_other_host_is_refused_whatever_it_knows(host: str | None) -> None:
    assert asked(host=host) == 421


def test_a_port_that_is_not_spelled_is_eighty() -> None:
    assert asked(host="127.0.0.1", port=80) is Place.PAGE


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"])
def test_nothing_but_reading_is_possible(method: str) -> None:
    assert asked(method=method) == 405


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        f"/{TOKEN}",
        f"/{TOKEN[:-1]}/",
        f"/{TOKEN}x/",
        f"/{TOKEN.upper()}/",
        f"//{TOKEN}/",
        f"/{TOKEN}/page",
        f"/{TOKEN}//",
        f"/{TOKEN}/changes/",
        f"/{TOKEN}/../",
        "/%ff%fe/",
        "/favicon.ico",
    ],
)
def test_without_the_secret_and_a_place_there_is_nothing(path: str) -> None:
    assert asked(path) == 404


def test_a_refusal_tells_no_secret() -> None:
    for method, host, path in (
        ("GET", None, "/"),
        ("PUT", f"localhost:{PORT}", "/"),
        ("GET", f"localhost:{PORT}", "/"),
    ):
        found = admitted(method=method, host=host, path=path, token=TOKEN, port=PORT)
        assert isinstance(found, Refused)
        assert TOKEN not in found.message
