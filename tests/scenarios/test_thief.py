"""A service that redirects to somebody else's host: no byte of document, tags or session token leaves for it."""

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from batch_upload.emulator.names import EVERY_OPERATION, Operation
from batch_upload.operations import CREATE, DELETE, DESCRIBE, IDENTITY, LIMITS, LIST_TAGS, TAG, UNTAG
from tests.support.batches import Batch, make_batch
from tests.support.command import Result
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded
from tests.support.thief import Thief, waiting_thief

STATUSES = (301, 302, 303, 307, 308)
"""Each is met by at least one operation here, and by each operation in tests/unit/service/test_http.py."""
SESSION = {"AWS_SESSION_TOKEN": "canary-of-the-session-token-0000000000000"}
PRUNE = ("prune", "--yes")
UPLOAD = ("upload", "--rate", "100", "--fixed-rate", "--deadline", "20s")
MEETS: dict[str, tuple[str, ...]] = {
    CREATE: UPLOAD,
    DESCRIBE: ("verify",),
    LIST_TAGS: ("reconcile",),
    LIMITS: ("plan",),
    TAG: UPLOAD,
    UNTAG: UPLOAD,
    DELETE: PRUNE,
    IDENTITY: ("plan",),
    Operation.ASSUME_ROLE: UPLOAD,
}
"""A verb that sends a request of the operation in the scene of these tests."""


@pytest.fixture
def thief() -> Iterator[Thief]:
    with waiting_thief() as waiting:
        yield waiting


@pytest.fixture
def batch(command: Preloaded, endpoint: Endpoint, tmp_path: Path) -> Batch:
    """Two documents are uploaded. Since then all tags have changed, one document is gone, another has come, and
    somebody has made an attachment of his own."""
    uploaded = make_batch(tmp_path, 2)
    assert _run(command, endpoint, uploaded, *UPLOAD).code == 0
    endpoint.plant({"Customer": "somebody else"})
    (tmp_path / "new.pdf").write_bytes(b"%PDF-1.7\n% a new one\n%%EOF\n")
    text = uploaded.path.read_text(encoding="utf-8")
    text = text.replace('{"Customer": "acme", "Country": "NO"}', '{"Customer": "birch"}')
    text = text.replace(f'"{uploaded.ids[1]}"', '"new.pdf"')
    uploaded.path.write_text(text, encoding="utf-8")
    return uploaded


def _run(command: Preloaded, endpoint: Endpoint, batch: Batch, verb: str, *flags: str) -> Result:
    env = {**endpoint.env, **SESSION}
    return command.run(verb, batch.manifest, *flags, "--json", cwd=batch.folder, env=env)


def _times_redirected(endpoint: Endpoint, operation: str) -> int:
    return sum(line[1:3] == (operation, "redirect") for line in endpoint.log())


@pytest.mark.parametrize(("operation", "status"), list(zip(MEETS, cycle(STATUSES), strict=False)))
def test_no_operation_follows_a_redirect(
    command: Preloaded, endpoint: Endpoint, thief: Thief, batch: Batch, operation: str, status: int
) -> None:
    if operation == Operation.ASSUME_ROLE:
        role = f"target: {{region: us-east-1, role_arn: 'arn:aws:iam::{endpoint.account}:role/uploader'}}\n"
        batch.path.write_text(role + batch.path.read_text(encoding="utf-8"), encoding="utf-8")
    redirect = {"action": "redirect", "operation": operation, "location": thief.url, "times": 1}
    endpoint.faults({**redirect, "status": status})
    before = _times_redirected(endpoint, operation)

    ended = _run(command, endpoint, batch, *MEETS[operation])

    assert _times_redirected(endpoint, operation) == before + 1
    assert ended.code != 1
    thief.assert_nothing_came()


def test_what_a_redirect_leads_to_is_never_believed(
    command: Preloaded, endpoint: Endpoint, thief: Thief, batch: Batch
) -> None:
    endpoint.faults({"action": "redirect", "operation": EVERY_OPERATION, "status": 307, "location": thief.url})

    ended = _run(command, endpoint, batch, "upload", "--deadline", "2s")
    endpoint.faults()
    quiet = _run(command, endpoint, batch, *UPLOAD)

    assert ended.code not in (0, 1)
    assert "forged" not in ended.stdout + ended.stderr
    assert (quiet.code, quiet.states) == (0, {"complete": 2}), quiet.stderr
    thief.assert_nothing_came()
