"""`--shard I/N`: every lane is in one of N runs, whatever the verb, and the runs need not know of each other."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.command import started
from tests.support.emulated_lanes import assert_each_token_once
from tests.support.emulator_process import running_emulator
from tests.support.fleets import Fleet, assert_each_once_in_each_lane, make_fleet
from tests.support.postgres import PostgresServer
from tests.support.preloaded import Preloaded

READING = ("plan", "validate", "status", "verify", "reconcile", "report", "doctor")
ENV = {"AWS_ACCESS_KEY_ID": "999988887777", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path / "srv", accounts=4, items=2)


def test_the_shards_of_a_manifest_upload_every_lane_once(command: Preloaded, fleet: Fleet) -> None:
    with running_emulator({"rates": {"*": None}, "processing_s": 0}) as emulator:
        env = {**ENV, "AWS_ENDPOINT_URL": emulator.url}
        ends = [
            command.run(
                *("upload", fleet.path, "--shard", "/3", "--ledger", fleet.folder / f"fleet.{index}.ledger"),
                *("--rate", "50", "--json"),
                cwd=fleet.folder,
                env={**env, variable: str(index)},
            )
            for index, variable in enumerate(
                ("JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX", "SLURM_ARRAY_TASK_ID")
            )
        ]
        held = emulator.attachments()

    assert [ended.code for ended in ends] == [0, 0, 0], ends
    assert [ended.summary["shard"] for ended in ends] == ["0/3", "1/3", "2/3"]
    labels = [lane["target"] for ended in ends for lane in ended.summary["lanes"]]
    assert sorted(labels) == sorted(fleet.labels)
    assert_each_token_once(held)
    assert_each_once_in_each_lane(held, fleet, fleet.labels)


def test_shards_at_the_same_time_share_a_database(command: Preloaded, fleet: Fleet, postgres: PostgresServer) -> None:
    url = postgres.new_database("shards_share")
    with running_emulator({"rates": {"*": None}, "processing_s": 0}) as emulator, ExitStack() as stack:
        env = {**ENV, "AWS_ENDPOINT_URL": emulator.url, "BATCH_UPLOAD_LEDGER": url, "BATCH_UPLOAD_SHARD": "/3"}
        flags = ("--rate", "50", "--json")
        running = [
            stack.enter_context(
                started("upload", fleet.path, *flags, cwd=fleet.folder, env={**env, "JOB_COMPLETION_INDEX": str(index)})
            )
            for index in range(3)
        ]
        ends = [each.finish() for each in running]
        held = emulator.attachments()
    whole = command.run("status", fleet.path, "--ledger", url, "--json", cwd=fleet.folder)

    assert [ended.code for ended in ends] == [0, 0, 0], [ended.stderr for ended in ends]
    assert sum(ended.summary["uploaded"] for ended in ends) == len(held) == sum(fleet.items.values())
    assert_each_once_in_each_lane(held, fleet, fleet.labels)
    assert whole.states == {"complete": sum(fleet.items.values())}


def test_every_verb_takes_the_same_lanes_and_says_which_part_they_are(command: Preloaded, fleet: Fleet) -> None:
    with running_emulator({"rates": {"*": None}, "processing_s": 0}) as emulator:
        env = {**ENV, "AWS_ENDPOINT_URL": emulator.url, "BATCH_UPLOAD_SHARD": "1/3"}
        uploaded = command.run("upload", fleet.path, "--rate", "50", "--json", cwd=fleet.folder, env=env)
        more = {"report": ("--format", "jsonl"), "prune": ("--yes",)}
        json = {name: ("--json",) for name in (*READING, "prune") if name != "report"}
        ends = {
            name: command.run(name, fleet.path, *more.get(name, ()), *json.get(name, ()), cwd=fleet.folder, env=env)
            for name in (*READING, "prune")
        }
        planned = command.run("plan", fleet.path, cwd=fleet.folder, env=env)
        status = command.run("status", fleet.path, cwd=fleet.folder, env=env)
        of_ledger = command.run("status", fleet.ledger, "--json", cwd=fleet.folder, env=env)

    lanes = [lane["target"] for lane in uploaded.summary["lanes"]]
    assert 0 < len(lanes) < len(fleet.labels)
    for name, ended in ends.items():
        assert ended.code == 0, (name, ended.stderr)
        if name in json:
            assert ended.summary["shard"] == "1/3", name
        if name in json and name != "validate":
            assert [lane["target"] for lane in ended.summary["lanes"]] == lanes, name
    assert ends["validate"].summary["items"] == uploaded.summary["items"] == 2 * len(lanes)
    assert len(ends["report"].stdout.splitlines()) == uploaded.summary["items"]
    assert [lane["target"] for lane in of_ledger.summary["lanes"]] == sorted(lanes)
    first = f"shard 1/3: {len(lanes)} lanes"
    assert (planned.stdout.splitlines()[0], status.stdout.splitlines()[0]) == (first, first)


def test_a_shard_with_a_target_is_what_both_mean(command: Preloaded, fleet: Fleet) -> None:
    both = [
        command.run("validate", fleet.path, "--target", "t001", "--shard", f"{index}/2", "--json", cwd=fleet.folder)
        for index in range(2)
    ]

    assert [ended.code for ended in both] == [0, 0]
    assert sum(ended.summary["items"] for ended in both) == 2 * 2


@pytest.mark.parametrize("verb", [*READING, "upload", "prune"])
def test_a_shard_without_a_lane_is_done_at_once(command: Preloaded, fleet: Fleet, verb: str) -> None:
    part = ("--target", "t001/us-east-1", "--shard")
    count = 2
    empty = next(
        index
        for index in range(count)
        if command.run("validate", fleet.path, *part, f"{index}/{count}", "--json", cwd=fleet.folder).summary["items"]
        == 0
    )

    ended = command.run(verb, fleet.path, *part, f"{empty}/{count}", cwd=fleet.folder)

    assert ended.code == 0, ended.stderr
    assert ended.stderr.splitlines()[-1] == (
        f"{verb}: shard {empty}/{count} has none of the 1 lane of `{fleet.path}`, nothing to do"
    )
    assert not fleet.ledger.exists()


def test_a_manifest_with_one_lane_has_no_shards(command: Preloaded, tmp_path: Path) -> None:
    manifest = tmp_path / "june.yaml"
    manifest.write_text(
        'version: 1\nbatch: b\ntarget: {account: "111122223333", region: us-east-1}\n'
        "attachments:\n  - {url: s3://bucket/x.pdf, id: x}\n"
    )

    ended = command.run("upload", manifest, "--shard", "0/2", cwd=tmp_path)

    assert ended.code == 2
    assert "`--shard 0/2` needs a manifest with `targets`" in ended.stderr
    assert "leave `--shard` out" in ended.stderr


def test_a_shard_that_finds_its_ledger_file_in_use_says_what_shards_need(command: Preloaded, fleet: Fleet) -> None:
    settings = {"rates": {"*": None}, "faults": [{"action": "hang", "operation": "CreateRegistrationAttachment"}]}
    with running_emulator(settings) as emulator:
        env = {**ENV, "AWS_ENDPOINT_URL": emulator.url}
        with command.started("upload", fleet.path, "--shard", "0/2", "--json", cwd=fleet.folder, env=env) as first:
            first.until("run")
            second = command.run("upload", fleet.path, "--shard", "1/2", cwd=fleet.folder, env=env)

    assert second.code == 11
    assert "--ledger postgresql://HOST/DATABASE" in second.stderr
    assert str(fleet.folder / "fleet.1-of-2.ledger") in second.stderr
    assert f"  batch-upload status {fleet.path} --shard 1/2    # how far the other run is" in second.stderr


def test_a_shard_of_a_fleet_queues_its_lanes_alone(command: Preloaded, fleet: Fleet, postgres: PostgresServer) -> None:
    url = postgres.new_database("shard_of_a_fleet")
    verb = ("fleet", "upload", fleet.path, "--ledger", url, "--no-wait", "--json")

    both = [command.run(*verb, "--shard", f"{index}/2", cwd=fleet.folder, env=ENV) for index in range(2)]

    assert [ended.code for ended in both] == [0, 0], both
    lanes = [[lane["target"] for lane in ended.summary["lanes"]] for ended in both]
    assert sorted(lanes[0] + lanes[1]) == sorted(fleet.labels)
    assert all(lanes)
    queued = postgres.execute("SELECT count(DISTINCT lock), count(*) FROM procrastinate_jobs", "shard_of_a_fleet")
    assert queued == [(8, 8)]
