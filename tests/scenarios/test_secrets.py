"""No credential and no byte of a document in the ledger, a log or any output, also at the highest verbosity."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_upload.operations import CREATE
from tests.support.batches import Batch, jpeg, pdf, png, write_batch
from tests.support.command import Result
from tests.support.endpoint import Endpoint
from tests.support.monitor import monitor
from tests.support.preloaded import Preloaded

DOCUMENT = "canary-of-the-document-0123456789"
SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIACANARYOFTHEKEY00",
    "AWS_SECRET_ACCESS_KEY": "canary/of+the/secret/key/000000000000000",
    "AWS_SESSION_TOKEN": "canary-of-the-session-token-0000000000000",
}
PASSWORD = "canary-of-the-password"
WITNESSES = ("--log-file", "run.log", "--metrics-file", "june.prom")
LOUD = ("-vvv", "--json", "--rate", "100", *WITNESSES)


def _base64_of(text: str) -> Iterator[str]:
    """What all of its bytes look like in base64, at each of the three places where they can begin."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + text.encode()).decode().rstrip("=")
        yield encoded[(before * 8 + 5) // 6 : (before + len(text)) * 8 // 6]


NEEDLES = [*SECRETS.values(), PASSWORD, DOCUMENT, *(each for text in (DOCUMENT,) for each in _base64_of(text))]


def _batch(folder: Path) -> Batch:
    documents = {"a.pdf": pdf(DOCUMENT), "b.png": png("x" + DOCUMENT), "c.jpg": jpeg("xy" + DOCUMENT)}
    return write_batch(folder, documents)


def _assert_clean(folder: Path, batch: Batch, *results: Result) -> None:
    kept = [path for path in folder.iterdir() if path.is_file() and path.name not in batch.documents]
    told = [text for each in results for text in (each.stdout, each.stderr)]
    for needle in NEEDLES:
        assert not [text for text in told if needle in text]
        assert not [path.name for path in kept if needle.encode() in path.read_bytes()]


def test_a_canary_is_found_in_no_output_and_no_file(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    batch = _batch(tmp_path)
    env = {**endpoint.env, **SECRETS}
    results = [command.run("plan", batch.manifest, "-vvv", *WITNESSES[:2], cwd=tmp_path, env=env)]

    for action in ("validation", "drop_after", "internal_error", "unknown_code", "garbage", "access_denied"):
        endpoint.faults({"action": action, "operation": CREATE, "times": 1})
        results.append(command.run("upload", batch.manifest, *LOUD, cwd=tmp_path, env=env))
    asking = [("verify", *WITNESSES), ("reconcile", *WITNESSES, "--log-format", "json"), ("doctor", "--json")]
    for name, *flags in asking:
        results.append(command.run(name, batch.manifest, *flags, "-vvv", cwd=tmp_path, env=env))
    for verb in (("status", "--json"), ("report",), ("report", "--format", "manifest"), ("plan", "--json")):
        results.append(command.run(verb[0], batch.manifest, *verb[1:], "-vvv", cwd=tmp_path, env=env))

    assert results[-1].code == 0
    assert len(endpoint.attachments()) == 3
    assert (tmp_path / "june.ledger").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "run.log").read_text().count(" summary ") >= 8
    assert (tmp_path / "june.prom").stat().st_size
    _assert_clean(tmp_path, batch, *results)


def test_a_canary_is_not_in_what_is_said_when_nobody_answers(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    batch = _batch(tmp_path)
    endpoint.change(deny=["GetCallerIdentity"])

    denied = command.run("upload", batch.manifest, *LOUD, cwd=tmp_path, env={**endpoint.env, **SECRETS})
    elsewhere = command.run(
        *("upload", batch.manifest, *LOUD, "--endpoint-url", f"https://somebody:{PASSWORD}@upload.example"),
        cwd=tmp_path,
        env=SECRETS,
    )

    assert (denied.code, elsewhere.code) == (22, 22)
    _assert_clean(tmp_path, batch, denied, elsewhere)


def test_an_endpoint_with_a_password_is_refused_and_the_password_not_shown(
    endpoint: Endpoint, command: Preloaded, tmp_path: Path
) -> None:
    batch = _batch(tmp_path)
    url = endpoint.url.replace("http://", f"http://somebody:{PASSWORD}@")

    ended = command.run(
        "upload", batch.manifest, *LOUD, "--endpoint-url", url, cwd=tmp_path, env={**endpoint.env, **SECRETS}
    )

    assert ended.code == 22
    endpoint.assert_untouched()
    _assert_clean(tmp_path, batch, ended)


@pytest.mark.parametrize(
    "url", ["u:{}@127.0.0.1", "http://u:{}@", "http://u:{}", "http://u:{}@[::1", "//u:{}@127.0.0.1"]
)
@pytest.mark.parametrize("where", ["--endpoint-url", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_STS", "config"])
def test_a_password_in_an_endpoint_is_shown_nowhere_however_it_is_spelt(
    command: Preloaded, tmp_path: Path, url: str, where: str
) -> None:
    batch, given, spelt = _batch(tmp_path), [], url.format(PASSWORD)
    config = tmp_path.parent / f"{tmp_path.name}.config"
    config.write_text(f"[default]\nendpoint_url = {spelt}\n" if where == "config" else "")
    env = {**SECRETS, "AWS_CONFIG_FILE": str(config)}
    if where == "--endpoint-url":
        given = [where, spelt]
    elif where != "config":
        env[where] = spelt

    ended = [
        command.run("upload", batch.manifest, *LOUD, *given, cwd=tmp_path, env=env),
        command.run("plan", batch.manifest, "-vvv", *given, cwd=tmp_path, env=env),
        command.run("doctor", batch.manifest, "--json", "-vvv", *given, cwd=tmp_path, env=env),
    ]

    assert [each.code for each in ended] == [22, 22, 22]
    _assert_clean(tmp_path, batch, *ended)


def test_the_address_of_a_monitor_is_shown_nowhere(endpoint: Endpoint, command: Preloaded, tmp_path: Path) -> None:
    batch = _batch(tmp_path)
    with monitor(status=500) as heard:
        url = heard.url.replace("canary-uuid", PASSWORD) + f"?rid={SECRETS['AWS_SESSION_TOKEN']}"

        ended = command.run(
            *("upload", batch.manifest, *LOUD, "--notify", url), cwd=tmp_path, env={**endpoint.env, **SECRETS}
        )

    assert (ended.code, len(heard.heard)) == (0, 2)
    assert not [needle for needle in (DOCUMENT, *batch.documents) for _, _, body in heard.heard if needle in body]
    _assert_clean(tmp_path, batch, ended)
