"""A page and its changes over real HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import aiohttp
import pytest

from batch_upload.errors import UsageError
from batch_upload.watch.serve import HEADERS, HttpRejection, Route, route_of, served_page

TOKEN = "s3cret" * 7
SECRET = "k3y-" + "x" * 39
PORT = 40_123


class Board:
    """Something to show: numbers up to the revision."""

    policy = "default-src 'none'"

    def __init__(self) -> None:
        self.revision = 1
        self._changed = asyncio.Event()

    def turn(self) -> None:
        self.revision += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def page(self) -> bytes:
        return "<!DOCTYPE html>ø".encode()

    async def since(self, revision: int) -> tuple[int, str]:
        return self.revision, json.dumps({"from": revision, "to": self.revision})

    async def wait_for_change(self, revision: int) -> None:
        while self.revision == revision:
            await self._changed.wait()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@asynccontextmanager
async def listening(client: aiohttp.ClientSession, url: str) -> AsyncIterator[aiohttp.StreamReader]:
    async with client.get(url) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        yield answer.content


async def told(stream: aiohttp.StreamReader) -> tuple[str, str]:
    """The next event: its name and data."""
    name, data, end = [(await stream.readline()).decode().rstrip("\n") for _ in range(3)]
    assert end == ""
    return name.removeprefix("event: "), data.removeprefix("data:").strip()


async def test_the_page_is_served_with_everything_forbidden(client: aiohttp.ClientSession) -> None:
    async with served_page(Board(), token=TOKEN) as url, client.get(url) as answer:
        assert (answer.status, await answer.text()) == (200, "<!DOCTYPE html>ø")
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert urlsplit(url).hostname == "127.0.0.1"
        assert urlsplit(url).path == f"/{TOKEN}/"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "", {"Host": "evil.example"}, 421),
        ("GET", "changes", {"Host": "evil.example"}, 421),
        ("GET", "../wrong/", {}, 404),
        ("GET", "../", {}, 404),
        ("GET", "else", {}, 404),
        ("POST", "", {}, 405),
        ("HEAD", "", {}, 405),
        ("OPTIONS", "changes", {}, 405),
    ],
)
async def test_nobody_else_is_let_in(
    client: aiohttp.ClientSession, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    async with (
        served_page(Board(), token=TOKEN) as url,
        client.request(method, f"{url}{path}", headers=headers) as answer,
    ):
        assert answer.status == status
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert TOKEN not in await answer.text()
        assert answer.headers.get("Allow") == ("GET" if status == 405 else None)
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_changes_are_told_as_they_come_from_where_one_stood(client: aiohttp.ClientSession) -> None:
    board = Board()
    async with served_page(board, token=TOKEN) as url:
        board.turn()
        async with (
            listening(client, f"{url}changes?since=1") as late,
            listening(client, f"{url}changes?since=2") as now,
        ):
            assert await told(late) == ("changes", '{"from": 1, "to": 2}')
            board.turn()
            assert await told(late) == ("changes", '{"from": 2, "to": 3}')
            assert await told(now) == ("changes", '{"from": 2, "to": 3}')


@pytest.mark.parametrize("since", ["", "x", "-1", "9" * 40, "٣"])
async def test_what_is_no_revision_is_told_everything(client: aiohttp.ClientSession, since: str) -> None:
    async with served_page(Board(), token=TOKEN) as url, listening(client, f"{url}changes?since={since}") as stream:
        assert await told(stream) == ("changes", '{"from": 0, "to": 1}')


async def test_whoever_listens_is_told_the_end(client: aiohttp.ClientSession) -> None:
    async with aiohttp.ClientSession() as session:
        async with served_page(Board(), token=TOKEN) as url:
            answer = await session.get(f"{url}changes?since=1")
        assert await told(answer.content) == ("ended", "")
        assert await answer.content.read() == b""


async def test_a_listener_that_is_gone_holds_nobody_up(client: aiohttp.ClientSession) -> None:
    board = Board()
    async with served_page(board, token=TOKEN) as url:
        async with listening(client, f"{url}changes?since=0") as stream:
            await told(stream)
        board.turn()
        async with listening(client, f"{url}changes?since=1") as stream:
            assert await told(stream) == ("changes", '{"from": 1, "to": 2}')


async def test_a_port_that_is_taken_is_a_usage_error(client: aiohttp.ClientSession) -> None:
    async with served_page(Board(), token=TOKEN) as url:
        with pytest.raises(UsageError, match="cannot listen on"):
            async with served_page(Board(), token=TOKEN, port=urlsplit(url).port or 0):
                pass


def asked(
    path: str = f"/{SECRET}/", *, method: str = "GET", host: str | None = f"127.0.0.1:{PORT}", port: int = PORT
) -> Route | int:
    found = route_of(method=method, host=host, path=path, token=SECRET, port=port)
    return found.status if isinstance(found, HttpRejection) else found


@pytest.mark.parametrize("host", [f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"LOCALHOST:{PORT}", f"[::1]:{PORT}"])
def test_loopback_under_its_own_names_is_let_in(host: str) -> None:
    assert asked(host=host) is Route.PAGE
    assert asked(f"/{SECRET}/changes", host=host) is Route.CHANGES


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
    assert asked(host="127.0.0.1", port=80) is Route.PAGE


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"])
def test_nothing_but_reading_is_possible(method: str) -> None:
    assert asked(method=method) == 405


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        f"/{SECRET}",
        f"/{SECRET[:-1]}/",
        f"/{SECRET}x/",
        f"/{SECRET.upper()}/",
        f"//{SECRET}/",
        f"/{SECRET}/page",
        f"/{SECRET}//",
        f"/{SECRET}/changes/",
        f"/{SECRET}/../",
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
        found = route_of(method=method, host=host, path=path, token=SECRET, port=PORT)
        assert isinstance(found, HttpRejection)
        assert SECRET not in found.message
