"""`watch`: the page in a browser while a run goes on in another process, and who is not let in."""

import asyncio
import signal
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.batches import Batch, assert_adds_up, make_batch
from tests.support.browser import opened
from tests.support.command import Result, Running
from tests.support.endpoint import Endpoint
from tests.support.event_schema import shape_of
from tests.support.preloaded import Preloaded

with_browser = pytest.mark.asyncio(loop_scope="module")
LOOKS_MS = 20_000
"""A look a second, on a machine that is busy with other tests."""


async def _shows(page: Page, state: str, count: int) -> None:
    tile = page.locator(f".tile[data-key={state}] .number")
    await expect(tile).to_have_text(str(count), timeout=LOOKS_MS)


@with_browser
async def test_a_page_follows_the_runs_of_another_process(
    browser: Browser, endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 4)
    with command.started("watch", batch.manifest, "--json", cwd=tmp_path) as watch:
        url = watch.until("listening")["url"]
        async with opened(browser, url) as watched:
            await _follows_a_run(watched.page, endpoint, batch, command)
            await _follows_the_next(watched.page, endpoint, batch, command)
            ended = _interrupted(watch)
            await expect(watched.page.locator("#live")).to_have_text("Ended: `watch` was stopped")

            assert watched.complaints == []
            assert {urlsplit(request).netloc for request in watched.requests} == {urlsplit(url).netloc}
            assert all(request.startswith(url) for request in watched.requests)

    assert ended.code == 130
    assert "Traceback" not in ended.stderr
    assert assert_adds_up(ended)["states"] == {"complete": 4}


@with_browser
async def test_a_run_that_was_killed_is_not_shown_as_under_way(
    browser: Browser, endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 3)
    endpoint.change(processing_s=3_600)
    with command.started("watch", batch.manifest, "--json", cwd=tmp_path) as watch:
        url = watch.until("listening")["url"]
        async with opened(browser, url) as watched:
            verdict = watched.page.locator("#verdict")
            with command.started("upload", batch.manifest, "--rate", "50", cwd=tmp_path, env=endpoint.env) as upload:
                await expect(verdict).to_contain_text("3 of 3 sent", timeout=LOOKS_MS)
                upload.process.kill()
            await expect(verdict).to_contain_text("left for the same command again", timeout=LOOKS_MS)
            await expect(watched.page.locator("#facts")).to_contain_text("Stopped without an end")


@with_browser
async def test_the_sheet_of_an_item_follows_it_and_keeps_what_is_selected_while_others_change(
    browser: Browser, endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 3)
    with command.started("watch", batch.manifest, "--json", cwd=tmp_path) as watch:
        url = watch.until("listening")["url"]
        async with opened(browser, f"{url}#item={quote(batch.ids[0], safe='')}") as watched:
            page, sheet = watched.page, watched.page.locator("#sheet-body")
            await expect(sheet).to_contain_text("pending: not sent yet")

            first = ("--only", batch.ids[0], "--rate", "50")
            with command.started("upload", batch.manifest, *first, cwd=tmp_path, env=endpoint.env) as upload:
                assert upload.finish().code == 0
            await expect(sheet).to_contain_text("complete: uploaded", timeout=LOOKS_MS)
            await expect(sheet.locator(".tries tbody tr")).to_have_count(1)
            await expect(sheet).to_contain_text("Exit 0", timeout=LOOKS_MS)
            await sheet.locator(".named code").first.evaluate("one => getSelection().selectAllChildren(one)")
            await _shows(page, "pending", 2)
            endpoint.change(processing_s=3_600)
            rest = ("--no-wait", "--rate", "50")
            with command.started("upload", batch.manifest, *rest, cwd=tmp_path, env=endpoint.env) as upload:
                upload.finish()
            await _shows(page, "processing", 2)

            assert await page.evaluate("getSelection().toString()") == batch.ids[0]
            assert watched.complaints == []


@with_browser
async def test_what_a_run_left_out_is_shown_as_invalid_until_it_is_mended(
    browser: Browser, endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 3)
    broken = tmp_path / batch.ids[0]
    whole = broken.read_bytes()
    broken.write_bytes(b"<!DOCTYPE html><title>log in</title>")
    words = ("upload", batch.manifest, "--rate", "50", "--skip-invalid")
    with command.started("watch", batch.manifest, "--json", cwd=tmp_path) as watch:
        async with opened(browser, watch.until("listening")["url"]) as watched:
            await _shows(watched.page, "pending", 3)
            first = await asyncio.to_thread(command.run, *words, cwd=tmp_path, env=endpoint.env)
            await _shows(watched.page, "complete", 2)
            await _shows(watched.page, "invalid", 1)
            await expect(watched.page.locator(".cause")).to_contain_text(batch.ids[0])
            broken.write_bytes(whole)
            second = await asyncio.to_thread(command.run, *words, cwd=tmp_path, env=endpoint.env)
            await _shows(watched.page, "complete", 3)
            await expect(watched.page.locator(".cause")).to_have_count(0)
            ended = _interrupted(watch)

            assert watched.complaints == []

    assert (first.code, second.code) == (20, 0)
    assert assert_adds_up(ended)["states"] == {"complete": 3}


async def _follows_a_run(page: Page, endpoint: Endpoint, batch: Batch, command: Preloaded) -> None:
    """From before there is a ledger, over what is under way, to the end of the run."""
    await _shows(page, "pending", 4)
    endpoint.change(processing_s=3_600)
    options = ("--only", batch.ids[0], "--only", batch.ids[1], "--only", batch.ids[2], "--rate", "50")
    with command.started("upload", batch.manifest, *options, cwd=batch.folder, env=endpoint.env) as upload:
        await _shows(page, "processing", 3)
        await expect(page.locator("#facts")).to_contain_text("Running now: process ")
        await expect(page.locator("#verdict")).to_contain_text(
            "3 of 4 sent; AWS has not confirmed them yet. Running now"
        )
        await page.locator("#rows .opener", has_text=batch.ids[0]).press("Enter")
        await expect(page.locator(".tries tbody tr")).to_contain_text("accepted")
        untouched = page.locator("#rows tr", has_text=batch.ids[3])
        await untouched.evaluate("row => row.classList.add('seen')")
        for held in endpoint.attachments():
            endpoint.set_status(held["id"], "UPLOAD_COMPLETE")
        await _shows(page, "complete", 3)
        assert upload.finish().code == 0
    await expect(page.locator("#facts")).to_contain_text("Exit 0", timeout=LOOKS_MS)
    await expect(untouched).to_contain_class("seen")
    assert await page.locator(".tries tbody tr").count() == 1
    assert await page.locator("#rows").evaluate("rows => rows.contains(document.activeElement)")


async def _follows_the_next(page: Page, endpoint: Endpoint, batch: Batch, command: Preloaded) -> None:
    endpoint.change(processing_s=0)
    with command.started("upload", batch.manifest, "--rate", "50", cwd=batch.folder, env=endpoint.env) as upload:
        assert upload.finish().code == 0
    await _shows(page, "complete", 4)
    await expect(page.locator("#runs tbody tr")).to_have_count(2)


def _interrupted(watch: Running) -> Result:
    watch.signal(signal.SIGINT)
    return watch.finish()


def _status(url: str, *, host: str | None = None) -> int:
    request = urllib.request.Request(url, headers={} if host is None else {"Host": host})  # noqa: S310 - loopback
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        refused.close()
        return refused.code


def test_strangers_are_not_let_in_and_sigterm_ends_it_at_once(tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 2)
    with command.started("watch", batch.manifest, "--json", cwd=tmp_path) as watch:
        url = watch.until("listening")["url"]
        origin = f"http://{urlsplit(url).netloc}"

        assert _status(url) == 200
        assert _status(url, host="evil.example") == 421
        assert _status(f"{origin}/") == 404
        assert _status(f"{origin}/{'x' * 43}/") == 404
        watch.signal(signal.SIGTERM)
        ended = watch.finish()

    assert len(urlsplit(url).path.strip("/")) == 43
    assert (ended.code, ended.states) == (143, {"pending": 2})
    assert [shape_of(line) for line in ended.events] == ["listening", "summary"]
    assert not batch.ledger.exists()


def test_two_watches_have_two_secrets(tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 1)
    with (
        command.started("watch", batch.manifest, "--json", cwd=tmp_path) as one,
        command.started("watch", batch.manifest, "--json", cwd=tmp_path) as other,
    ):
        paths = {urlsplit(each.until("listening")["url"]).path for each in (one, other)}

    assert len(paths) == 2


def test_a_broken_manifest_is_told_and_nothing_is_served(tmp_path: Path, command: Preloaded) -> None:
    (tmp_path / "june.yaml").write_text("version: [")

    with command.started("watch", "june.yaml", "--json", cwd=tmp_path) as watch:
        ended = watch.finish()

    assert ended.code == 21
    assert [line["event"] for line in ended.events][-1] == "summary"
    assert not ended.of("listening")
