"""`upload` killed while it changes tags: the next run ends with the right ones, whichever are wanted by then."""

import pytest

from tests.support.batches import IDENTITY_TAG
from tests.support.kill_ground import Ground, Site, killed_or_clean, record
from tests.support.kill_points import Kill, spread

ITEMS = 2
SCRIPT = "2 items get other tags"


def test_a_kill_between_two_callbacks_leaves_tags_that_the_next_run_puts_right(ground: Ground) -> None:
    clean = _changed(ground).upload(kill=Kill("callback"))
    assert clean.code == 0, clean.result.stderr

    points = spread(clean.seen, 4)
    kills = sum(_kill(ground, at, goes_back=number % 2 == 1) for number, at in enumerate(points))

    assert kills >= 2


@pytest.mark.soak
@pytest.mark.parametrize("goes_back", [False, True])
def test_a_retag_is_killed_before_every_single_callback(ground: Ground, *, goes_back: bool) -> None:
    at = 1
    while _kill(ground, at, goes_back=goes_back):
        at += 1

    record(
        "callback of the event loop",
        f"{SCRIPT}{', and their old ones again' if goes_back else ''}",
        points=at - 1,
        kills=at - 1,
    )


def _changed(ground: Ground) -> Site:
    """A site whose manifest wants other tags than what was uploaded."""
    site = ground.site(ITEMS)
    assert site.upload().code == 0
    _want(site, "acme", "birch")
    return site


def _want(site: Site, before: str, after: str) -> None:
    text = site.batch.path.read_text(encoding="utf-8")
    site.batch.path.write_text(text.replace(f'"Customer": "{before}"', f'"Customer": "{after}"'), encoding="utf-8")


def _kill(ground: Ground, at: int, *, goes_back: bool) -> bool:
    site = _changed(ground)
    killed = killed_or_clean(site.upload(kill=Kill("callback", at)))
    if goes_back:
        _want(site, "birch", "acme")

    done = site.upload()
    again = site.upload()

    assert (done.code, again.code) == (0, 0), done.result.stderr
    assert done.result.summary["states"] == {"complete": ITEMS}
    plan = site.driver.run("plan", str(site.batch.path), "--json", cwd=site.batch.folder, env=site.endpoint.env)
    tokens = {line["client_token"] for line in plan.result.of("action")}
    assert [line["action"] for line in plan.result.of("action")] == ["unchanged"] * ITEMS
    held = site.endpoint.attachments()
    assert {each["tags"][IDENTITY_TAG] for each in held} == tokens
    assert {each["tags"]["Customer"] for each in held} == {"acme" if goes_back else "birch"}
    assert site.endpoint.stats().creates == ITEMS
    return killed
