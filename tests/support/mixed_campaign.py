"""A mix from its first run to its last, and what must be true then.

`python -m tests.support.mixed_campaign SEED…` carries out the mixes of these seeds and tells the story of each.
"""

import hashlib
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.batches import IDENTITY_TAG, assert_adds_up
from tests.support.clocks import build_library
from tests.support.measured_run import Measured
from tests.support.mixed_world import World, content_of, mixed_ground, tags_of, token_of_entry
from tests.support.mixes import SETTLE_S, Entry, Mix, Round, draw
from tests.support.thief import waiting_thief

QUIET_DEADLINE_S = 20
QUIET_RUNS_MAX = 8
WITHOUT_DEADLINE_S = 30.0
"""Other verbs than `upload` have no deadline; they may take so long, and what any run may take beyond its deadline."""
PEAK_MIB_MAX = 300
DISAGREEMENT = 25
ACCESS = 22
KILLED = frozenset({-9, -15})
"""The second by a SIGTERM that came before the command could heed it."""
STORMY_CODES = frozenset({0, 10, 12, 14, 20, 25, 143})
"""How a run may end in a mix: done, something left that the next run does, an item refused under a token that the
service knows, a copy found out, or drained after a signal. Not by a fault of ours, and access needs no mending."""
QUIET_SETTINGS: dict[str, Any] = {
    "latency_s": 0,
    "processing_s": 0,
    "listing_lag_s": 0,
    "describe_lag_s": 0,
    "tags_lag_s": 0,
    "limits_lag_s": 0,
    "limits_used": None,
    "next_token_life_s": None,
    "known_token": "replay",
}


def perform(world: World) -> None:
    """Carry out the mix, end it in quiet, and judge. Raises AssertionError, with the whole story."""
    with _told_on_failure(world):
        for number, each in enumerate(world.mix.rounds):
            world.say(f"round {number}: passes {each.passes_s} s, wall {each.wrong_s} s, {len(each.entries)} items")
            _perform_round(world, each)
        _end_in_quiet(world)
        _judge(world)


def _perform_round(world: World, each: Round) -> None:
    world.set_wall(each.wrong_s)
    world.pass_time(each.passes_s)
    if each.ledger is not None:
        world.do_to_ledger(each.ledger)
    world.write(each.entries)
    world.say(f"  faults {json.dumps(each.faults)}")
    world.set_faults(each.faults)
    if each.verb == "upload":
        options = _upload_options(world.mix, each.deadline_s, each.concurrency)
        runs = world.run("upload", *options, deadline_s=each.deadline_s, moves=each.moves, has_twin=each.has_twin)
    else:
        options = ("--yes", "--max-deletes", "100") if each.verb == "prune" else _horizon(world.mix)
        runs = world.run(each.verb, *options, deadline_s=WITHOUT_DEADLINE_S, moves=each.moves)
    for ended in runs:
        _assert_ended_well(ended)


def _upload_options(mix: Mix, deadline_s: int, concurrency: int) -> tuple[str, ...]:
    pace = ("--rate", "200", "--fixed-rate", "--concurrency", str(concurrency))
    return (*pace, *_horizon(mix), "--deadline", f"{deadline_s}s", "--settle-timeout", f"{SETTLE_S}s")


def _horizon(mix: Mix) -> tuple[str, str]:
    return ("--safe-horizon", f"{mix.horizon_s}s")


def _assert_ended_well(ended: Measured) -> None:
    assert ended.code in STORMY_CODES | KILLED or _is_long_unreached(ended), f"exit {ended.code}"
    assert "Traceback" not in ended.result.stderr
    assert ended.peak_mib < PEAK_MIB_MAX
    if ended.code not in KILLED:
        assert_adds_up(ended.result)


def _is_long_unreached(ended: Measured) -> bool:
    """Whether a person was called because the lane has not been reached for a day: days pass quickly in a mix."""
    return ended.code == ACCESS and ended.result.summary.get("unreached_for") is not None


def _end_in_quiet(world: World) -> None:
    """Lift all faults, wait until tokens are forgotten, and run the same command until it is done: also `reconcile`
    where it asks for that."""
    world.say("- all faults are lifted")
    world.endpoint.faults()
    world.endpoint.change(**QUIET_SETTINGS)
    world.set_wall(0)
    world.settle_down()
    world.pass_time(world.mix.settings["token_memory_s"])
    for _ in range(QUIET_RUNS_MAX):
        options = _upload_options(world.mix, QUIET_DEADLINE_S, 8)
        [ended] = world.run("upload", *options, deadline_s=QUIET_DEADLINE_S)
        _assert_ended_well(ended)
        if ended.code == 0:
            return
        if ended.code == DISAGREEMENT:
            assert "reconcile" in ended.result.stderr
            [ended] = world.run("reconcile", *_horizon(world.mix), deadline_s=WITHOUT_DEADLINE_S)
            _assert_ended_well(ended)
        world.settle_down()
    raise AssertionError(f"not done after {QUIET_RUNS_MAX} runs without any fault")


def _judge(world: World) -> None:
    """Each item exactly once, the ledger's ids the service's, no token with two meanings, and nothing anywhere else.

    Where two copies of a ledger were at work at the same moment, what is there twice must have been found: exit 25.
    """
    entries = world.mix.rounds[-1].entries
    held = [each for each in world.endpoint.attachments() if each["status"] != "DELETED"]
    ours = [each for each in held if IDENTITY_TAG in each["tags"]]
    twice = _repeated(each["client_token"] for each in ours) + _repeated(each["tags"][IDENTITY_TAG] for each in ours)
    if twice:
        assert world.mix.has_twins, f"created twice, or two carry one identity: {twice}"
        assert DISAGREEMENT in {each.code for each in world.runs}, f"twice, and nothing was said: {twice}"
    rows = {row["id"]: row for row in world.report()}
    assert set(rows) == {entry.name for entry in entries}
    for entry in entries:
        _judge_entry(entry, rows[entry.name], ours)
    assert world.endpoint.stats().token_mismatches == 0, "a token was used with other parameters"
    world.thief.assert_nothing_came()


def _judge_entry(entry: Entry, row: Mapping[str, Any], ours: Sequence[Mapping[str, Any]]) -> None:
    token, content = token_of_entry(entry), content_of(entry)
    assert token in {each["tags"][IDENTITY_TAG] for each in ours}, f"`{entry.name}` is not there"
    [found] = [each for each in ours if each["id"] == row["registration_attachment_id"]]
    assert row["state"] == "complete"
    assert found["status"] == "UPLOAD_COMPLETE"
    assert found["tags"] == {**tags_of(entry), IDENTITY_TAG: token}
    assert (found["size"], found["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def _repeated(tokens: Iterable[str]) -> list[str]:
    return [token for token, count in Counter(tokens).items() if count > 1]


@contextmanager
def _told_on_failure(world: World) -> Iterator[None]:
    """Whatever fails is told with the whole story: what was done, what the runs printed, and what the service saw."""
    try:
        yield
    except (AssertionError, TimeoutError) as error:
        runs = "\n".join(
            f"--- run {number}: exit {each.code}\n{each.result.stderr}{each.result.stdout}"
            for number, each in enumerate(world.runs)
        )
        log = "\n".join(f"{at_s:10.3f} {name} {end} {token or ''}" for at_s, name, end, token in world.log())
        held = "\n".join(json.dumps(each) for each in world.endpoint.attachments())
        story = "\n".join(world.told)
        raise AssertionError(
            f"{error}\nmix {world.mix.seed}: python -m tests.support.mixed_campaign {world.mix.seed}\n"
            f"horizon {world.mix.horizon_s} s, settings {json.dumps(world.mix.settings)}\n"
            f"{story}\n{runs}\n--- requests\n{log}\n--- attachments\n{held}"
        ) from error


def _main(seeds: list[int]) -> int:
    """Carry out these mixes one after another; gives how many failed."""
    failed = 0
    with tempfile.TemporaryDirectory() as folder, mixed_ground(build_library(Path(folder)), Path(folder)) as ground:
        for seed in seeds:
            with waiting_thief() as thief:
                world = World(ground, draw(seed), thief)
                try:
                    perform(world)
                    story = "\n".join([*world.told, f"mix {seed} held"])
                except AssertionError as error:
                    failed += 1
                    story = f"{error}\nmix {seed} FAILED"
            sys.stdout.write(f"{story}\n")
            sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(min(_main([int(each) for each in sys.argv[1:]]), 100))
