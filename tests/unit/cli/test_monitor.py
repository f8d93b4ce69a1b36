"""A monitor hears of the beginning and the end, whatever becomes of the pings."""

import socket
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from batch_upload.cli.monitor import BODY_LIMIT, Monitor, body_of, path_of
from batch_upload.errors import ExitCode, UsageError
from batch_upload.summary import Exit, LaneSummary, Summary, exit_of
from tests.support.monitor import monitor

DONE = Summary(verb="upload", exit=exit_of(ExitCode.DONE), batch="june", items=2, states={"complete": 2}, uploaded=2)


def failed_with(code: ExitCode) -> Summary:
    return Summary(verb="upload", exit=exit_of(code))


def test_a_success_is_a_start_and_the_plain_url() -> None:
    with monitor() as heard:
        told = Monitor(heard.url)
        told.begin()

        assert told.end(DONE) is None

    assert [(method, path) for method, path, _ in heard.heard] == [
        ("POST", "/ping/canary-uuid/start"),
        ("POST", "/ping/canary-uuid"),
    ]
    assert heard.heard[1][2].startswith("upload of batch `june`: exit 0 (done)\nitems: 2, of which 2 complete\n")


@pytest.mark.parametrize("code", ExitCode, ids=lambda code: str(int(code)))
def test_a_person_is_called_if_and_only_if_one_must_act(code: ExitCode) -> None:
    below = path_of(exit_of(code))

    assert below == ("" if code in (0, 3) else "fail" if code in (1, 2) or 20 <= code <= 29 else "log")


def test_a_failure_tells_its_code() -> None:
    with monitor() as heard:
        assert Monitor(heard.url + "/").end(failed_with(ExitCode.INVALID)) is None

    assert heard.paths == ["/ping/canary-uuid/fail"]
    assert heard.heard[0][2] == "upload: exit 21 (invalid)\n"


def test_a_query_stays_behind_the_path_and_a_fragment_at_home() -> None:
    with monitor() as heard:
        told = Monitor(heard.url + "?rid=0b5c&x=a%20b#part")
        told.begin()
        told.end(DONE)

    assert heard.paths == ["/ping/canary-uuid/start?rid=0b5c&x=a%20b", "/ping/canary-uuid?rid=0b5c&x=a%20b"]


def test_when_to_come_back_is_told() -> None:
    parked = Exit(ExitCode.NO_CAPACITY, "no capacity is left", datetime(2026, 11, 24, tzinfo=UTC))

    assert body_of(Summary(verb="upload", exit=parked)).endswith("not before 2026-11-24 00:00 UTC\n")


def test_a_run_over_many_lanes_has_one_end_which_counts_them_and_names_none() -> None:
    lanes = tuple(
        LaneSummary(f"secret-{number}/r", None, "r", exit_of(ExitCode.DONE if number else ExitCode.ACCESS))
        for number in range(80)
    )
    with monitor() as heard:
        Monitor(heard.url).end(replace(DONE, exit=exit_of(ExitCode.ACCESS), lanes=lanes))

    ((_, path, body),) = heard.heard
    assert path == "/ping/canary-uuid/fail"
    assert "lanes: 1 of 80 lanes ended with access, 79 are done\n" in body
    assert "secret" not in body


def test_a_body_has_an_end() -> None:
    with monitor() as heard:
        Monitor(heard.url).end(Summary(verb="v" * 2 * BODY_LIMIT, exit=exit_of(ExitCode.DONE)))

    assert len(heard.heard[0][2]) == BODY_LIMIT


def test_who_does_not_answer_is_not_waited_for() -> None:
    with monitor(hangs=True) as heard:
        told = Monitor(heard.url, limit_s=0.2)
        told.begin()

        assert told.end(DONE) == "no answer within 0.2 s"


def test_who_refuses_is_told_of_in_words_without_the_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    told = Monitor(f"http://127.0.0.1:{port}/canary-uuid")
    told.begin()

    assert told.end(DONE) == "connection refused"
    assert told.shown == "http://127.0.0.1/…"


@pytest.mark.parametrize("status", [404, 500])
def test_an_answer_that_is_no_success_is_told_of(status: int) -> None:
    with monitor(status=status) as heard:
        assert Monitor(heard.url).end(DONE) == f"it answered {status}"


def test_nobody_is_asked_whom_the_user_did_not_name() -> None:
    with monitor() as elsewhere, monitor(status=302, location=elsewhere.url) as heard:
        assert Monitor(heard.url).end(DONE) == "it answered 302"

    assert elsewhere.heard == []


@pytest.mark.parametrize(
    "url",
    ["ftp://canary.example/x", "file:///canary", "canary", "https://", "https://u:canary@h.example/x",
     "https://h.example/canary x", "https://h.example/canary\n", "https://[canary", "http://h.example:canary/",
     "https://h.example/canary\u00e9"],
)  # fmt: skip
def test_what_is_no_url_for_this_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        Monitor(url)

    assert "canary" not in refused.value.message + refused.value.hint
