"""Answers that no service gives, and redirects: what becomes of a run of the installed command."""

from pathlib import Path

import pytest

from batch_upload.emulator.names import EVERY_OPERATION
from batch_upload.operations import CREATE, IDENTITY, LIMITS
from tests.support.batches import assert_adds_up, assert_each_once, make_batch
from tests.support.endpoint import Endpoint
from tests.support.monitor import monitor
from tests.support.preloaded import Preloaded

PAGE = "<html><head><title>Guest network</title></head><body>Sign in</body></html>"


@pytest.mark.parametrize(
    ("status", "body"), [(502, '"Bad Gateway"'), (200, "null"), (200, "[]"), (200, PAGE), (500, '{"__type": 5}')]
)
def test_an_answer_that_is_none_stops_nothing_that_is_in_flight(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded, status: int, body: str
) -> None:
    endpoint.faults({"action": "raw", "operation": CREATE, "after": 19, "times": 1, "status": status, "body": body})
    batch = make_batch(tmp_path, 60)

    ended = command.run("upload", batch.manifest, "--rate", "200", "--json", cwd=tmp_path, env=endpoint.env)

    assert ended.code == 0
    assert assert_adds_up(ended)["states"] == {"complete": 60}
    assert endpoint.stats().creates == 61
    assert_each_once(endpoint, batch)


@pytest.mark.parametrize(
    ("status", "body"), [(200, "5"), (200, '{"AccountLimits": [5]}'), (400, "true"), (403, '"Forbidden"'), (403, PAGE)]
)
def test_a_capacity_that_is_not_told_ends_no_run(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded, status: int, body: str
) -> None:
    endpoint.faults({"action": "raw", "operation": LIMITS, "status": status, "body": body})
    batch = make_batch(tmp_path, 3)

    ended = command.run("upload", batch.manifest, "--rate", "100", "--json", cwd=tmp_path, env=endpoint.env)
    planned = command.run("plan", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env)

    assert (ended.code, planned.code) == (0, 0)
    assert_each_once(endpoint, batch)


def test_a_login_page_is_named_and_the_other_checks_are_made(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    endpoint.faults({"action": "raw", "operation": IDENTITY, "body": PAGE, "content_type": "text/html"})
    batch = make_batch(tmp_path, 1)

    ended = command.run("doctor", batch.manifest, cwd=tmp_path, env=endpoint.env)

    said = ended.stdout + ended.stderr
    assert ended.code == 10
    assert "a web page (`Guest network`), not AWS's: a proxy or a network's login page stands between" in said
    assert "a fault of batch-upload itself" not in said
    assert endpoint.stats().requests[LIMITS] == 1


@pytest.mark.parametrize("status", [301, 307])  # the other statuses: tests/unit/service/test_http.py
def test_a_redirect_is_followed_by_nobody_and_the_run_ends_as_it_should(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded, status: int
) -> None:
    batch = make_batch(tmp_path, 3)

    with monitor(status=200) as thief:
        endpoint.faults(
            {"action": "redirect", "operation": EVERY_OPERATION, "times": 2, "status": status, "location": thief.url}
        )
        ended = command.run(
            *("upload", batch.manifest, "--rate", "100", "--json", "--log-file", "run.log"),
            cwd=tmp_path,
            env={**endpoint.env, "AWS_SESSION_TOKEN": "canary-of-the-session-token"},
        )

    assert thief.heard == []
    assert ended.code == 0
    assert_each_once(endpoint, batch)
    assert "RedirectNotFollowed" in (tmp_path / "run.log").read_text()
