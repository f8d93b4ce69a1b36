"""The main job: files to the service, each there once, and nothing to do afterwards."""

from collections import Counter
from pathlib import Path

from batch_upload.operations import CREATE, DESCRIBE
from tests.support.batches import assert_adds_up, assert_each_once, make_batch
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded


def test_sixty_files_are_there_once_each_and_a_rerun_sends_nothing(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    endpoint.change(rates={CREATE: {"per_second": 20, "burst": 5}, DESCRIBE: 1}, processing_s=0.3)
    batch = make_batch(tmp_path, 60)

    first = command.run("upload", batch.manifest, "--rate", "20", "--json", cwd=tmp_path, env=endpoint.env)
    creates = endpoint.stats().creates
    again = command.run("upload", batch.manifest, "--rate", "20", "--json", cwd=tmp_path, env=endpoint.env)

    assert first.code == 0, first.stderr
    assert assert_adds_up(first)["uploaded"] == 60
    assert_each_once(endpoint, batch)
    assert {each["status"] for each in endpoint.attachments()} == {"UPLOAD_COMPLETE"}
    assert again.code == 0
    assert (again.summary["unchanged"], again.summary["uploaded"]) == (60, 0)
    assert endpoint.stats().creates == creates


def test_under_a_strict_limit_with_many_workers_none_is_lost_and_the_counts_agree(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    endpoint.change(rates={CREATE: {"per_second": 5, "burst": 1}, DESCRIBE: 1}, processing_s=0.3)
    batch = make_batch(tmp_path, 25)

    ended = command.run(
        "upload", batch.manifest, "--concurrency", "16", "--rate", "5", "--json", cwd=tmp_path, env=endpoint.env
    )

    assert ended.code == 0, ended.stderr
    assert_each_once(endpoint, batch)
    summary, served = assert_adds_up(ended), endpoint.stats()
    assert summary["states"] == {"complete": 25}
    assert served.requests[CREATE] == 25 + served.throttled[CREATE]
    assert Counter(summary["requests"]) == served.requests
    assert summary["throttled"] == served.throttled.total()


def test_a_rate_that_is_far_too_high_costs_retries_and_no_item(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    endpoint.change(rates={CREATE: {"per_second": 20, "burst": 1}})
    batch = make_batch(tmp_path, 12)

    ended = command.run(
        "upload", batch.manifest, "--concurrency", "16", "--rate", "60", "--json", cwd=tmp_path, env=endpoint.env
    )

    assert ended.code == 0, ended.stderr
    assert_each_once(endpoint, batch)
    summary, served = assert_adds_up(ended), endpoint.stats()
    assert served.throttled[CREATE] > 0
    assert served.requests[CREATE] == 12 + served.throttled[CREATE]
    assert Counter(summary["requests"]) == served.requests
    assert summary["throttled"] == served.throttled.total()


def test_without_a_rate_the_default_is_never_too_fast_for_a_new_account(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    endpoint.change(rates={CREATE: 1})
    batch = make_batch(tmp_path, 3)

    ended = command.run("upload", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env)

    assert ended.code == 0, ended.stderr
    assert_each_once(endpoint, batch)
    assert assert_adds_up(ended)["requests"][CREATE] == 3 + endpoint.stats().throttled[CREATE]
