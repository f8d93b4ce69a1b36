"""`upload` killed while it sends again what ended as UPLOAD_FAILED: the retry is made once, whoever dies when."""

import pytest

from tests.support.batches import IDENTITY_TAG
from tests.support.kill_ground import Ground, Site, killed_or_clean, record
from tests.support.kill_points import Kill, spread

ITEMS = 2


def test_a_kill_between_two_callbacks_of_a_retry_makes_no_second_one(ground: Ground) -> None:
    clean = _failed_once(ground).upload(kill=Kill("callback"))
    assert clean.code == 0, clean.result.stderr

    kills = sum(_kill(ground, at, is_lost=number % 2 == 1) for number, at in enumerate(spread(clean.seen, 4)))

    assert kills >= 2


@pytest.mark.soak
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_retry_is_killed_before_every_single_callback(ground: Ground, *, is_lost: bool) -> None:
    at = 1
    while _kill(ground, at, is_lost=is_lost):
        at += 1

    script = f"an upload that failed is tried again{', and the ledger is lost' if is_lost else ''}"
    record("callback of the event loop", script, points=at - 1, kills=at - 1)


def _failed_once(ground: Ground) -> Site:
    """A site with an attachment that ended as UPLOAD_FAILED, at a service that has been mended since."""
    site = ground.site(ITEMS, fails_containing=["document 1"])
    assert site.upload().code == 20
    site.endpoint.change(fails_containing=[])
    return site


def _kill(ground: Ground, at: int, *, is_lost: bool) -> bool:
    """`is_lost`: whether the ledger is, too, after the kill."""
    site = _failed_once(ground)
    killed = killed_or_clean(site.upload(kill=Kill("callback", at)))
    if is_lost:
        for path in site.batch.folder.glob("june.ledger*"):
            path.unlink()

    done = site.upload()
    again = site.upload()

    assert (done.code, again.code) == (0, 0), done.result.stderr
    assert done.result.summary["states"] == {"complete": ITEMS}
    held = site.endpoint.attachments()
    assert sorted(each["status"] for each in held) == ["UPLOAD_COMPLETE"] * ITEMS + ["UPLOAD_FAILED"]
    assert len({each["tags"][IDENTITY_TAG] for each in held}) == ITEMS + 1
    verified = site.driver.run("verify", str(site.batch.path), "--json", cwd=site.batch.folder, env=site.endpoint.env)
    assert verified.code == 0, verified.result.stderr
    return killed
