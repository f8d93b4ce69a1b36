"""Whose name a run acts in, fetched in an environment as bare as cron's: roles, helpers, codes, and no way to STS."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.barred import KEYS, PROFILE, answering, sts_error, write_home
from tests.support.batches import make_batch
from tests.support.clocks import Clocks
from tests.support.command import COMMAND, TIMEOUT_S, Result
from tests.support.endpoint import CREDENTIALS, Endpoint
from tests.support.preloaded import Preloaded
from tests.support.scheduled import bare_environment, started_bare
from tests.support.scheduled import ended as ended_of
from tests.support.terminal import said, terminal_of

DEVICE = "arn:aws:iam::123456789012:mfa/jane"
NOWHERE = "http://127.0.0.1:9"
"""The discard port, at which nothing listens."""


@dataclass(frozen=True, slots=True)
class Place:
    """The command, a home, a folder with a manifest of three documents, and the service."""

    command: Preloaded
    home: Path
    manifest: Path
    endpoint: Endpoint

    def run(self, *arguments: str, **variables: str) -> Result:
        env = {"LANG": "C.UTF-8", **variables}
        return self.command.run(*arguments, cwd=Path("/"), base=bare_environment(self.home), env=env)

    def upload(self, *flags: str, **variables: str) -> Result:
        return self.run("upload", str(self.manifest), "--json", *flags, **variables)

    def target(self, text: str) -> None:
        """Write the manifest anew with this target."""
        make_batch(self.manifest.parent, 3, extra=f"target: {text}")


@pytest.fixture
def place(command: Preloaded, endpoint: Endpoint, tmp_path: Path) -> Place:
    home = tmp_path / "home"
    home.mkdir()
    return Place(command, home, make_batch(tmp_path / "srv", 3).path, endpoint)


# the manifest's role


@pytest.mark.parametrize("where", ["manifest", "flag", "AWS_REGION", "AWS_DEFAULT_REGION"])
def test_a_role_of_the_manifest_works_with_the_region_from_anywhere(place: Place, where: str) -> None:
    role = f'role_arn: "arn:aws:iam::{place.endpoint.account}:role/uploader"'
    place.target(f"{{region: eu-west-1, {role}}}" if where == "manifest" else f"{{{role}}}")
    flags = ["--region", "eu-west-1"] if where == "flag" else []
    variables = {where: "eu-west-1"} if where.startswith("AWS_") else {}

    ended = place.upload(*flags, **variables, **CREDENTIALS, AWS_ENDPOINT_URL=place.endpoint.url)

    assert (ended.code, ended.stderr.count("Traceback")) == (0, 0)
    assert (ended.summary["account"], ended.summary["region"]) == (place.endpoint.account, "eu-west-1")
    assert ended.states == {"complete": 3}


def test_a_traceback_of_the_sdk_goes_to_the_log_file_and_nowhere_else(place: Place) -> None:
    place.target('{region: eu-west-1, role_arn: "arn:aws:iam::123456789012:role/uploader"}')
    log = place.home / "run.log"

    with answering(403, sts_error("AccessDenied", "not authorized to perform: sts:AssumeRole")) as sts:
        ended = place.run(
            "upload", str(place.manifest), "-vv", "--log-file", str(log),
            **CREDENTIALS, AWS_ENDPOINT_URL=place.endpoint.url, AWS_ENDPOINT_URL_STS=sts.url,
        )  # fmt: skip

    assert ended.code == 22
    assert "Traceback" not in ended.stdout + ended.stderr
    assert "Refreshing temporary credentials failed" not in ended.stderr
    assert "Traceback" in log.read_text(encoding="utf-8")


# an account that is not enabled


@pytest.mark.parametrize("code", ["SubscriptionRequiredException", "AccountProblem", "UnknownOperationException"])
def test_a_service_that_refuses_the_account_is_asked_once_and_no_item_is_to_blame(place: Place, code: str) -> None:
    with answering(400, json.dumps({"__type": code}), kind="application/x-amz-json-1.0") as service:
        ended = place.upload(
            **CREDENTIALS,
            AWS_REGION="us-east-1",
            AWS_ENDPOINT_URL_STS=place.endpoint.url,
            AWS_ENDPOINT_URL_PINPOINT_SMS_VOICE_V2=service.url,
        )

    assert ended.code == 22
    assert code in ended.stderr
    assert "hint: " in ended.stderr
    assert ended.states.get("failed", 0) == 0
    assert len(service.asked) == 1


# credentials that are renewed in the middle of a run


def test_a_helper_that_stops_working_during_a_run_stops_the_lane_and_fails_no_item(place: Place) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")  # botocore renews 10 min before
    keys = {"Version": 1, "AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "not-a-secret", "Expiration": soon}
    (place.home / "keys.json").write_text(json.dumps(keys))
    helper = place.home / "helper"
    helper.write_text(
        f"#!/bin/sh\necho x >>{place.home}/calls\n"
        f"if [ $(wc -l <{place.home}/calls) -gt 6 ]; then exit 3; fi\ncat {place.home}/keys.json\n"
    )
    helper.chmod(0o755)
    write_home(place.home, f"credential_process = {helper}\n", credentials="", endpoint_url=place.endpoint.url)

    ended = place.upload(AWS_PROFILE=PROFILE)

    assert ended.code == 22
    assert "failed with status 3" in ended.stderr
    assert ended.states.get("failed", 0) == 0
    assert sum(ended.states.values()) == 3
    assert "Traceback" not in ended.stderr


def test_a_helper_that_hangs_is_ended_after_its_time_limit(place: Place, clocks: Clocks) -> None:
    """A minute passes on the clocks of the command, not on the wall."""
    pipe = place.home / "pipe"
    os.mkfifo(pipe)
    helper = place.home / "helper"
    helper.write_text(f"#!/bin/sh\necho started >{pipe}\nexec sleep 300 >{pipe}\n")
    helper.chmod(0o755)
    write_home(place.home, f"credential_process = {helper} hunter2\n", credentials="", endpoint_url=place.endpoint.url)
    variables = {"AWS_PROFILE": PROFILE, "LANG": "C.UTF-8", **clocks.env}

    with (
        started_bare([COMMAND, "upload", place.manifest, "--json"], home=place.home, variables=variables) as process,
        pipe.open() as said_by_helper,
    ):
        assert said_by_helper.readline() == "started\n"
        clocks.pass_time(61)
        result = ended_of(process)
        assert said_by_helper.read() == ""  # nobody holds the other end any more

    assert result.code == 22, result.stderr
    assert f"`credential_process` of profile `{PROFILE}` (`{helper}`) has not ended within 60 s" in result.stderr
    assert "hunter2" not in result.stdout + result.stderr
    assert 61 <= result.summary["elapsed_s"] < 120
    assert result.of("retrying") == []
    assert place.endpoint.stats().requests.total() == 0


# no way to STS


def test_without_sts_the_account_is_taken_from_the_first_listing_where_the_manifest_names_it(place: Place) -> None:
    place.endpoint.plant({}, created_at=datetime.now(UTC) - timedelta(days=1))
    place.target(f'{{region: us-east-1, account: "{place.endpoint.account}"}}')

    ended = place.upload(**CREDENTIALS, AWS_ENDPOINT_URL=place.endpoint.url, AWS_ENDPOINT_URL_STS=NOWHERE)

    assert (ended.code, ended.states) == (0, {"complete": 3})
    assert ended.summary["account"] == place.endpoint.account
    assert any("STS does not answer" in line["message"] for line in ended.of("notice"))


def test_a_listing_of_another_account_than_the_manifests_stops_everything(place: Place) -> None:
    place.endpoint.plant({}, created_at=datetime.now(UTC) - timedelta(days=1))
    place.target('{region: us-east-1, account: "999999999999"}')

    ended = place.upload(**CREDENTIALS, AWS_ENDPOINT_URL=place.endpoint.url, AWS_ENDPOINT_URL_STS=NOWHERE)

    assert ended.code == 22
    assert place.endpoint.account in ended.stderr
    assert place.endpoint.stats().creates == 0


def test_an_empty_account_without_sts_is_not_guessed(place: Place) -> None:
    place.target(f'{{region: us-east-1, account: "{place.endpoint.account}"}}')

    ended = place.upload(**CREDENTIALS, AWS_ENDPOINT_URL=place.endpoint.url, AWS_ENDPOINT_URL_STS=NOWHERE)

    assert ended.code == 10
    assert f"STS, which says whose the credentials are, does not answer at `{NOWHERE}`" in ended.stderr
    assert "and the account has no attachment yet that tells it" in ended.stderr
    assert "com.amazonaws.REGION.sts" in ended.stderr
    assert place.endpoint.stats().creates == 0


def test_a_proxy_that_cannot_be_reached_is_named_without_its_password(place: Place) -> None:
    proxy = "http://user:hunter2@127.0.0.1:9"

    ended = place.run("doctor", "--json", **CREDENTIALS, AWS_REGION="us-east-1", HTTPS_PROXY=proxy)

    (told,) = [line["message"] for line in ended.of("check") if line["check"] == "account"]
    assert ended.code == 10
    assert "the proxy `http://127.0.0.1:9` cannot be reached" in told
    assert "hunter2" not in ended.stdout + ended.stderr


def test_a_region_that_this_version_does_not_know_but_that_can_be_reached_is_a_warning(place: Place) -> None:
    ended = place.upload(**CREDENTIALS, AWS_ENDPOINT_URL=place.endpoint.url, AWS_REGION="us-new-7")

    assert ended.code == 0
    assert any("`us-new-7` is not among the Regions" in line["message"] for line in ended.of("notice"))


# doctor


def test_doctor_prints_each_check_before_the_next_is_made(place: Place) -> None:
    gate = place.home / "gate"
    os.mkfifo(gate)
    helper = place.home / "helper"
    helper.write_text(f"#!/bin/sh\ncat {gate}\nexit 3\n")
    helper.chmod(0o755)
    write_home(place.home, f"credential_process = {helper}\n", credentials="", endpoint_url=place.endpoint.url)
    printed: list[str] = []

    with started_bare(
        [COMMAND, "doctor", place.manifest], home=place.home, variables={"AWS_PROFILE": PROFILE}
    ) as process:
        for line in process.stdout or ():
            printed.append(line.split()[1])
            if printed[-1] == "tls":
                break
        before = list(printed)
        gate.write_text("")
        printed += [line.split()[1] for line in process.stdout or () if not line.startswith(" ")]
        code = process.wait(TIMEOUT_S)

    assert before[-1] == "tls"
    assert printed[len(before)] == "credentials"
    assert code == 22


# the code of an MFA device, at a terminal


@contextmanager
def asked_for_a_code(place: Place, *flags: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """`upload` at a terminal, from the moment that it asks for the code."""
    config = f"role_arn = arn:aws:iam::{place.endpoint.account}:role/r\nsource_profile = base\nmfa_serial = {DEVICE}\n"
    write_home(place.home, config, credentials="", endpoint_url=place.endpoint.url)
    (place.home / ".aws" / "credentials").write_text(f"[base]\n{KEYS}")
    ours, its = terminal_of(120, 24)
    env = {"HOME": str(place.home), "PATH": "/usr/bin:/bin", "AWS_PROFILE": PROFILE, "TERM": "xterm", "LANG": "C.UTF-8"}
    with subprocess.Popen(
        [COMMAND, "upload", place.manifest, *flags], env=env, stdin=its, stdout=its, stderr=its, start_new_session=True
    ) as process:
        os.close(its)
        try:
            shown = ""
            for text in said(ours):
                shown += text
                if f"code of the MFA device `{DEVICE}`" in shown:
                    break
            yield process, ours
        finally:
            if process.poll() is None:
                process.kill()
            os.close(ours)


def ended_at(process: "subprocess.Popen[bytes]", terminal: int) -> int:
    for _ in said(terminal):
        pass
    return process.wait(TIMEOUT_S)


def test_a_code_that_is_typed_is_used(place: Place) -> None:
    with asked_for_a_code(place) as (process, terminal):
        os.write(terminal, b"123456\n")
        code = ended_at(process, terminal)

    assert code == 0
    assert len(place.endpoint.attachments()) == 3


@pytest.mark.parametrize(
    ("flags", "end", "code"),
    [
        ([], lambda process, _: process.send_signal(signal.SIGINT), 130),
        ([], lambda process, _: process.send_signal(signal.SIGTERM), 143),
        ([], lambda process, _: process.send_signal(signal.SIGHUP), 143),
        (["--deadline", "3s"], lambda *_: None, 12),
        ([], lambda _, terminal: os.write(terminal, b"\x04"), 22),
    ],
    ids=["SIGINT", "SIGTERM", "SIGHUP", "deadline", "end of input"],
)
def test_while_a_code_is_asked_for_a_run_can_be_ended_and_gives_the_lock_back(
    place: Place, flags: list[str], end: Callable[["subprocess.Popen[bytes]", int], object], code: int
) -> None:
    with asked_for_a_code(place, *flags) as (process, terminal):
        end(process, terminal)
        ended = ended_at(process, terminal)
    again = place.upload(**CREDENTIALS, AWS_REGION="us-east-1", AWS_ENDPOINT_URL=place.endpoint.url)

    assert ended == code
    assert again.code == 0
