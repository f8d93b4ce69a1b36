"""The standard streams of a process lose what they cannot write, and remember why."""

import os
from collections.abc import Iterator
from threading import Thread

import pytest

from batch_upload.cli.streams import StandardStream, failure_of, is_failure_of, raising


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The end to read from, and the end to write to."""
    reading, writing = os.pipe()
    yield reading, writing
    for number in (reading, writing):
        try:
            os.close(number)
        except OSError:
            continue  # the test closed it


def stream_to(number: int, *, is_missing: bool = False) -> StandardStream:
    return StandardStream(number, None, is_missing=is_missing)


def test_a_full_disk_is_remembered_and_everything_after_it_is_lost() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        stream = stream_to(full)
        for _ in range(3):
            stream.write("x" * 100_000)
            stream.flush()
        failure = failure_of(stream)
    finally:
        os.close(full)

    assert failure is not None
    assert failure.strerror == "No space left on device"


def test_a_reader_that_left_is_no_failure(pipe: tuple[int, int]) -> None:
    stream = stream_to(pipe[1])
    os.close(pipe[0])

    stream.write("nobody reads this\n")
    stream.flush()

    assert failure_of(stream) is None


def test_a_stream_that_was_closed_fails_only_when_it_is_written_to(pipe: tuple[int, int]) -> None:
    stream = stream_to(pipe[1], is_missing=True)
    stream.flush()
    before = failure_of(stream)

    stream.write("one line\n")
    stream.flush()
    after = failure_of(stream)

    assert before is None
    assert after is not None
    assert after.strerror == "it is closed"


def test_whoever_prints_much_hears_of_the_failure_once(pipe: tuple[int, int]) -> None:
    stream = stream_to(pipe[1])
    os.close(pipe[0])

    with pytest.raises(BrokenPipeError) as raised, raising(stream):
        stream.write("nobody reads this\n")
    stream.write("nor this\n")
    stream.flush()

    assert is_failure_of(raised.value, stream)


def test_a_pipe_that_another_process_made_non_blocking_loses_nothing(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.set_blocking(writing, False)
    stream, text, read = stream_to(writing), "x" * 1_000_000, list[bytes]()

    def take_all() -> None:
        while sum(map(len, read)) < len(text):
            read.append(os.read(reading, 65_536))

    reader = Thread(target=take_all)
    reader.start()
    stream.write(text)
    stream.flush()
    reader.join()

    assert b"".join(read).decode() == text
    assert failure_of(stream) is None
