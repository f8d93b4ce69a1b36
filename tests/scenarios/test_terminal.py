"""What a person sees who waits for it: the installed command at a real terminal."""

from pathlib import Path

import pytest

from batch_upload.operations import CREATE
from tests.support.at_terminal import Shown, at_terminal
from tests.support.batches import Batch, make_batch
from tests.support.endpoint import Endpoint

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.fixture
def batch(endpoint: Endpoint, tmp_path: Path) -> Batch:
    """Eight documents, of which one is refused, and a service that throttles."""
    endpoint.faults(
        {"action": "validation", "operation": CREATE, "body_contains": "document 3"},
        {"action": "throttle", "operation": CREATE, "times": 2},
    )
    endpoint.change(latency_s=0.15)  # so that something is in flight when it is drawn
    return make_batch(tmp_path, 8)


def upload(batch: Batch, endpoint: Endpoint, *flags: str, columns: int = 100, **env: str) -> Shown:
    return at_terminal(
        *("upload", batch.manifest, "--rate", "20", *flags),
        cwd=batch.folder,
        env={**endpoint.env, **env},
        columns=columns,
    )


def test_a_person_sees_how_far_it_is_and_then_what_to_do_next(endpoint: Endpoint, batch: Batch) -> None:
    shown = upload(batch, endpoint)

    assert shown.code == 20
    drawn = "\n".join(shown.lines)
    for words in (
        "0/8 sent  0 %",
        "━",
        "of 8 done",
        "/s learned",
        "throttled",
        "in flight: `files/",
        "failed `files/003.pdf`",
    ):
        assert words in drawn, words
    assert [line for line in shown.lines if line.startswith("  batch-upload")][0::2] == [
        "  batch-upload why june.yaml files/003.pdf    # its whole history",
        "  batch-upload upload june.yaml    # once what is named under `to do` is done",
    ]
    assert shown.colours
    assert shown.text.rfind("\x1b[?25h") > shown.text.rfind("\x1b[?25l")


def test_what_is_sent_counts_although_the_service_is_still_at_work_on_it(endpoint: Endpoint, batch: Batch) -> None:
    endpoint.change(processing_s=3)

    shown = upload(batch, endpoint)

    drawn = "\n".join(shown.lines)
    assert "  8/8 sent  100 %\n0 of 8 done, 1 failed, 7 processing" in drawn


def test_a_narrow_terminal_without_colours_and_utf_8_shows_the_same(endpoint: Endpoint, batch: Batch) -> None:
    shown = upload(batch, endpoint, columns=40, NO_COLOR="1", **ASCII)

    assert shown.code == 20
    assert shown.text.isascii()
    assert not [colour for colour in shown.colours if any(part in colour for part in ("[3", ";3", "[9", ";9"))]
    drawing = shown.lines[: shown.lines.index(next(line for line in shown.lines if line.startswith("upload of batch")))]
    assert max(map(len, drawing)) <= 40
    assert any(line.endswith("0/8 sent  0 %") and line.startswith(".") for line in drawing)


def test_a_dumb_terminal_gets_lines(endpoint: Endpoint, batch: Batch) -> None:
    shown = upload(batch, endpoint, TERM="dumb")

    assert (shown.code, shown.moves, shown.colours) == (20, False, set())
    assert "AWS is limiting requests (this is normal): the rate goes down" in shown.lines


def test_who_asks_for_requests_gets_lines_and_what_happens_besides(endpoint: Endpoint, batch: Batch) -> None:
    shown = upload(batch, endpoint, "-v")

    assert (shown.code, shown.moves) == (20, False)
    assert "AWS is limiting requests (this is normal): the rate goes down" in shown.lines
    assert len([line for line in shown.lines if f" {CREATE} `files/" in line]) >= 10


def test_quiet_is_silent_at_a_terminal_too(endpoint: Endpoint, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 2)

    first, again = upload(batch, endpoint, "--quiet"), upload(batch, endpoint, "--quiet")

    assert (first, again) == (Shown(0, ""), Shown(0, ""))
