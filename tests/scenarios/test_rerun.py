"""A rerun: what it does not read, and what it finds all the same."""

import hashlib
import os
from pathlib import Path

from tests.support.batches import make_batch
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

LONG_AGO_S = 1_000_000_000


def test_a_rerun_reads_no_file_that_looks_the_same_unless_it_is_told_to(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 3)
    for name in batch.ids:
        os.utime(tmp_path / name, (LONG_AGO_S, LONG_AGO_S))
    upload = ("upload", batch.manifest, "--rate", "100", "--json")
    first = command.run(*upload, cwd=tmp_path, env=endpoint.env)
    path = tmp_path / batch.ids[0]
    path.write_bytes(batch.documents[batch.ids[0]].replace(b"0", b"9"))
    os.utime(path, (LONG_AGO_S, LONG_AGO_S))

    again = command.run(*upload, cwd=tmp_path, env=endpoint.env)
    planned = command.run("plan", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env)
    told = command.run("plan", batch.manifest, "--rehash", "--json", cwd=tmp_path, env=endpoint.env)
    by_variable = command.run(
        "plan", batch.manifest, "--json", cwd=tmp_path, env={**endpoint.env, "BATCH_UPLOAD_REHASH": "1"}
    )
    last = command.run(*upload, "--rehash", cwd=tmp_path, env=endpoint.env)

    assert first.code == 0, first.stderr
    assert (again.code, again.summary["unchanged"]) == (0, 3)
    assert planned.summary["unchanged"] == 3
    assert (told.summary["unchanged"], by_variable.summary["unchanged"]) == (2, 2)
    assert (last.code, last.summary["uploaded"]) == (0, 1)


def test_bytes_that_only_look_the_same_are_never_sent_for_what_they_were(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    batch = make_batch(tmp_path, 2)
    for name in batch.ids:
        os.utime(tmp_path / name, (LONG_AGO_S, LONG_AGO_S))
    upload = ("upload", batch.manifest, "--rate", "100", "--json")
    early = command.run(*upload, "--deadline", "1ms", cwd=tmp_path, env=endpoint.env)
    path = tmp_path / batch.ids[0]
    path.write_bytes(batch.documents[batch.ids[0]].replace(b"0", b"9"))
    os.utime(path, (LONG_AGO_S, LONG_AGO_S))

    ended = command.run(*upload, cwd=tmp_path, env=endpoint.env)

    assert early.code == 12
    assert ended.code == 20
    assert ended.item(batch.ids[0])["error"]["code"] == "changed_since_plan"
    assert [each["size"] for each in endpoint.attachments()] == [len(batch.documents[batch.ids[1]])]


def test_what_is_deleted_is_decided_by_bytes_that_were_read(
    command: Preloaded, endpoint: Endpoint, tmp_path: Path
) -> None:
    """A document is replaced, and then put back so that it looks as the other did."""
    batch = make_batch(tmp_path, 1)
    (name,) = batch.ids
    path, first = tmp_path / name, batch.documents[name]
    upload = ("upload", batch.manifest, "--rate", "100", "--json")
    for body, at_s in ((first, LONG_AGO_S), (first.replace(b"0", b"9"), LONG_AGO_S + 1)):
        path.write_bytes(body)
        os.utime(path, (at_s, at_s))
        assert command.run(*upload, cwd=tmp_path, env=endpoint.env).summary["uploaded"] == 1
    path.write_bytes(first)
    os.utime(path, (LONG_AGO_S + 1, LONG_AGO_S + 1))

    ended = command.run("prune", batch.manifest, "--yes", "--json", cwd=tmp_path, env=endpoint.env)

    assert ended.code == 0, ended.stderr
    held = {each["sha256"] for each in endpoint.attachments() if each["status"] != "DELETED"}
    assert hashlib.sha256(first).hexdigest() in held
