"""The lines of a check: for a pipe, and for terminals of several widths."""

import pytest

from batch_upload.app.checks import Check, Verdict, not_ok, ok
from batch_upload.cli.doctor import NAME_WIDTH, check_lines
from batch_upload.errors import ExitCode
from batch_upload.words import display_width

MESSAGE = "no answer of `sms-voice.example.org` within 10 s, three times in a row, and then once more"
HINT = "check the proxy, then the firewall, then the name server, and ask whoever keeps the network"
LANE = "a-customer-with-a-rather-long-name-of-its-own/us-east-1"


def failed(name: str) -> Check:
    return not_ok(name, ExitCode.ACCESS, MESSAGE, HINT)


def test_in_a_pipe_a_check_is_one_line_and_its_hint_another() -> None:
    assert list(check_lines(failed("tls"))) == [
        f"fail  {'tls':<{NAME_WIDTH}}  {MESSAGE}",
        f"      {'':<{NAME_WIDTH}}  hint: {HINT}",
    ]


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("name", ["tls", LANE])
def test_on_a_terminal_no_line_is_wider_and_no_word_is_lost(name: str, width: int) -> None:
    lines = list(check_lines(failed(name), width=width))

    assert max(display_width(line) for line in lines if name not in line or name == "tls") <= width
    assert " ".join(" ".join(lines).split()) == f"fail {name} {MESSAGE} hint: {HINT}"
    assert len({len(line) - len(line.lstrip()) for line in lines[1:]}) == 1


def test_a_long_name_has_a_line_of_its_own_so_that_messages_stay_below_each_other() -> None:
    lines = list(check_lines(ok(LANE, "123456789012 in us-east-1; 3 of 25 used, 22 left"), width=80))

    assert lines == [f"{Verdict.OK:<4}  {LANE}", "        123456789012 in us-east-1; 3 of 25 used, 22 left"]
