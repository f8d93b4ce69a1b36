"""What a PostgreSQL ledger tells without its manifest, and who holds its lanes."""

import os
from pathlib import Path

import pytest

from batch_upload.clock import SystemClock
from batch_upload.ledger import find_reader, open_ledger
from batch_upload.ledger_address import PostgresUrl
from batch_upload.model import Lane, State
from batch_upload.settings import RunOptions
from batch_upload.watch.follow import Follower
from tests.support.batches import Batch, make_batch
from tests.support.endpoint import Endpoint
from tests.support.postgres import PostgresServer
from tests.support.preloaded import Preloaded


@pytest.fixture
def url(postgres: PostgresServer, request: pytest.FixtureRequest) -> str:
    return postgres.new_database(request.node.name[:60])


@pytest.fixture
def batch(command: Preloaded, endpoint: Endpoint, url: str, tmp_path: Path) -> Batch:
    """A batch of three that was uploaded with the ledger at `url`."""
    made = make_batch(tmp_path, 3)
    first = command.run("upload", made.manifest, "--rate", "100", "--ledger", url, cwd=tmp_path, env=endpoint.env)
    assert first.code == 0, first.stderr
    return made


def test_the_url_of_a_ledger_takes_the_place_of_the_manifest(
    command: Preloaded, url: str, batch: Batch, tmp_path: Path
) -> None:
    status = command.run("status", url, "--json", cwd=tmp_path)
    why = command.run("why", url, batch.ids[0], cwd=tmp_path)
    report = command.run("report", url, "-o", "june.csv", cwd=tmp_path)
    page = command.run("report", url, "--format", "html", "-o", "june.html", cwd=tmp_path)
    manifest = command.run("report", url, "--format", "manifest", cwd=tmp_path)

    assert (status.code, status.states) == (0, {"complete": 3}), status.stderr
    assert f"from the ledger `{url}` alone" in status.stderr
    assert (why.code, report.code, page.code) == (0, 0, 0), f"{why.stderr}{report.stderr}{page.stderr}"
    assert len((tmp_path / "june.csv").read_text().splitlines()) == 4
    assert url in (tmp_path / "june.html").read_text()
    assert manifest.code == 2
    assert f"`--format manifest` needs the manifest, and `{url}` is a ledger" in manifest.stderr


def test_targets_choose_among_the_lanes_of_a_url_and_what_cannot_be_is_refused(
    command: Preloaded, url: str, batch: Batch, tmp_path: Path
) -> None:
    other = command.run("status", url, "--target", "acme", cwd=tmp_path)
    both = command.run("status", url, "--ledger", "june.ledger", cwd=tmp_path)
    secret = command.run("status", url.replace("@", ":canary@"), cwd=tmp_path)
    rehash = command.run("status", url, "--region", "x", cwd=tmp_path)

    assert [other.code, both.code, secret.code, rehash.code] == [2, 2, 2, 2]
    assert f"and the ledger `{url}` are both given" in both.stderr
    assert "has a password, which others could read" in secret.stderr
    assert "canary" not in secret.stderr + secret.stdout


def test_an_output_is_not_written_over_a_file_of_the_run(
    command: Preloaded, url: str, batch: Batch, tmp_path: Path
) -> None:
    before = batch.path.read_bytes()
    shared = ("report", batch.manifest, "--ledger", url)
    over = command.run(*shared, "-o", batch.manifest, cwd=tmp_path)
    document = command.run(*shared, "-o", batch.ids[0], cwd=tmp_path)
    assert (over.code, document.code) == (2, 2)
    assert "is the manifest, which it would overwrite" in over.stderr
    assert "is a document of the manifest" in document.stderr
    assert batch.path.read_bytes() == before


def test_a_database_without_a_ledger_is_said_to_be_empty(command: Preloaded, url: str, tmp_path: Path) -> None:
    ended = command.run("status", url, cwd=tmp_path)
    assert ended.code == 24
    assert f"`{url}` is empty: no run has recorded anything in it" in ended.stderr


def test_a_rerun_manifest_names_the_database(command: Preloaded, url: str, batch: Batch, tmp_path: Path) -> None:
    made = command.run("report", batch.manifest, "--ledger", url, "--format", "manifest", cwd=tmp_path)
    assert made.code == 0, made.stderr
    assert f'ledger: "{url}"' in made.stdout


async def test_status_and_why_name_who_holds_a_lane_and_how_often_it_was_taken(
    command: Preloaded, url: str, batch: Batch, tmp_path: Path
) -> None:
    free = command.run("status", batch.manifest, "--ledger", url, "--json", cwd=tmp_path)
    clock, address = SystemClock(), PostgresUrl(url, url)
    ledger = await open_ledger(address, run_id="r-holder", clock=clock)
    try:
        lane = next(lane for _, lane in _lanes_of(address))
        writer = await ledger.writer()
        await writer.pin(lane, endpoint="http://127.0.0.1", at=clock.now())
        held = command.run("status", url, "--json", cwd=tmp_path)
        text = command.run("status", batch.manifest, "--ledger", url, cwd=tmp_path)
        why = command.run("why", url, batch.ids[0], cwd=tmp_path)
        page = command.run("report", url, "--format", "html", cwd=tmp_path)
    finally:
        await ledger.close()

    [before] = [line for line in free.events if line["event"] == "lease"]
    [after] = [line for line in held.events if line["event"] == "lease"]
    assert (before["held"], before["fence"], before["until"]) == (False, 1, None)
    assert (after["held"], after["fence"], after["run_id"]) == (True, 2, "r-holder")
    assert after["pid"] == os.getpid()
    assert after["until"] > after["since"]
    for shown in (text.stdout, why.stdout):
        assert f"lane {lane}: held by process {os.getpid()} on " in shown
        assert "(run r-holder), lease until " in shown
        assert "taken 2 times so far" in shown
    assert page.code == 0, page.stderr


async def test_the_page_names_the_holder_of_each_lane(url: str) -> None:
    clock, address = SystemClock(), PostgresUrl(url, url)
    ledger = await open_ledger(address, run_id="r-holder", clock=clock)
    try:
        for label, account in (("acme/us-east-1", "111122223333"), ("beta/us-east-1", "444455556666")):
            writer = await ledger.writer(label)
            await writer.pin(Lane(account, "us-east-1"), endpoint="http://127.0.0.1", at=clock.now())
            await writer.begin_run("r-holder", verb="upload", batch="b", at=clock.now())
        await writer.release()
        follower = Follower(address, RunOptions())
        lanes = follower.page.board.head["lanes"]
        follower.close()
    finally:
        await ledger.close()

    assert [lane["label"] for lane in lanes] == ["acme/us-east-1", "beta/us-east-1"]
    assert lanes[0]["holder"].startswith(f"process {os.getpid()} on ")
    assert "taken 1 time so far" in lanes[0]["holder"]
    assert (lanes[0]["running"], lanes[1]["running"], lanes[1]["holder"]) == (True, False, "")


def _lanes_of(address: PostgresUrl) -> list[tuple[str | None, Lane]]:
    reader = find_reader(address)
    assert reader is not None
    with reader:
        return list(reader.lanes())


def test_the_live_page_follows_a_database_and_takes_in_what_is_new(
    command: Preloaded, endpoint: Endpoint, url: str, batch: Batch, tmp_path: Path
) -> None:
    follower = Follower(PostgresUrl(url, url), RunOptions())
    try:
        assert _count(follower, State.COMPLETE) == 3
        assert not follower.look()
        more = make_batch(tmp_path, 5)
        ended = command.run("upload", more.manifest, "--rate", "100", "--ledger", url, cwd=tmp_path, env=endpoint.env)
        assert ended.code == 0, ended.stderr
        assert follower.look()
        assert _count(follower, State.COMPLETE) == 5
    finally:
        follower.close()


def _count(follower: Follower, state: State) -> int:
    pages = getattr(follower.page, "pages", [follower.page])
    return sum(page.states[state.value] for page in pages)
