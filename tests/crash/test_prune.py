"""`prune` killed at any point: nothing is taken for uploaded and is not, and the next run goes on where it was."""

import pytest

from tests.support.batches import write_batch
from tests.support.kill_ground import Ground, Site, killed_or_clean, record
from tests.support.kill_points import Ended, Kill, spread

LISTED, UNLISTED = 2, 3
SCRIPT = "prune: 3 of 5"


def test_a_kill_between_two_callbacks_deletes_nothing_that_is_listed_and_the_next_run_finishes(ground: Ground) -> None:
    clean = _prune(_pruned_to(ground), Kill("callback"))
    assert clean.code == 0, clean.result.stderr

    kills = sum(_kill(ground, at) for at in spread(clean.seen, 4))

    assert kills >= 2


@pytest.mark.soak
def test_a_prune_is_killed_before_every_single_callback(ground: Ground) -> None:
    at = 1
    while _kill(ground, at):
        at += 1

    record("callback of the event loop", SCRIPT, points=at - 1, kills=at - 1)


def _pruned_to(ground: Ground) -> Site:
    """A site whose manifest lists fewer documents than were uploaded."""
    site = ground.site(LISTED + UNLISTED)
    assert site.upload().code == 0
    write_batch(site.batch.folder, dict(list(site.batch.documents.items())[:LISTED]))
    return site


def _prune(site: Site, kill: Kill) -> Ended:
    words = ("prune", str(site.batch.path), "--yes", "--json", "--max-deletes", str(UNLISTED))
    return site.driver.run(*words, cwd=site.batch.folder, env=site.endpoint.env, kill=kill)


def _kill(ground: Ground, at: int) -> bool:
    """Kill; what is listed again then is never taken for uploaded and is not; and then finish."""
    site = _pruned_to(ground)
    killed = killed_or_clean(_prune(site, Kill("callback", at)))
    gone = {each["client_token"] for each in site.endpoint.attachments() if each["status"] == "DELETED"}
    whole = write_batch(site.batch.folder, site.batch.documents)
    plan = site.driver.run("plan", str(whole.path), "--json", "--offline", cwd=whole.folder, env=site.endpoint.env)
    believed = {line["client_token"] for line in plan.result.of("action") if line["action"] == "unchanged"}
    assert believed.isdisjoint(gone)

    write_batch(site.batch.folder, dict(list(site.batch.documents.items())[:LISTED]))
    after = _prune(site, Kill("none"))
    assert after.code == 0, after.result.stderr
    left = [each["client_token"] for each in site.endpoint.attachments() if each["status"] != "DELETED"]
    assert len(left) == LISTED
    assert site.upload().result.summary["states"] == {"complete": LISTED}
    assert site.endpoint.stats().creates == LISTED + UNLISTED
    return killed
