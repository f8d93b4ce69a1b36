"""The IAM policies of `deploy/iam/`: IAM's grammar, no more than the verbs need, and no less."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name

from batch_upload.emulator.names import OPERATIONS, STS_OPERATIONS
from batch_upload.operations import DELETE, FIELD_DEFINITIONS, FIELD_VALUES, PUT_FIELD, REGISTRATIONS, TAG
from tests.support.batches import Batch, make_batch
from tests.support.emulator_process import ROOT
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded
from tests.support.scheduled import DEPLOY

POLICIES = sorted((DEPLOY / "iam").glob("*.json"))
SERVICE = ROOT / "batch_upload" / "service"
PREFIX = "sms-voice:"
WITH_CREATE = TAG
"""Asked of whoever creates something with tags, too."""
OPT_IN_IMAGE = "messagingUseCase.optInImage"
LINT = Path(sys.executable).with_name("cfn-lint")


def _policy(name: str) -> dict[str, Any]:
    policy: dict[str, Any] = json.loads((DEPLOY / "iam" / f"{name}.json").read_text(encoding="utf-8"))
    return policy


def _granted_by(statements: Iterable[Mapping[str, Any]]) -> set[str]:
    """The operations of the service that statements allow."""
    actions: set[str] = set()
    for statement in statements:
        named = statement["Action"]
        actions.update([named] if isinstance(named, str) else named)
    return {action.removeprefix(PREFIX) for action in actions if action.startswith(PREFIX)}


def _granted(name: str) -> set[str]:
    return _granted_by(_policy(name)["Statement"])


def _called() -> set[str]:
    """The operations of the service that the package names anywhere in the room that alone talks to AWS."""
    model = botocore.session.get_session().get_service_model("pinpoint-sms-voice-v2")
    by_name = {spelled: name for name in model.operation_names for spelled in (name, xform_name(name))}
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in SERVICE.rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    constants = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {by_name[spelled] for spelled in (attributes | constants) & by_name.keys()}


def _bound_batch(folder: Path, endpoint: Endpoint) -> Batch:
    """One document that is bound to a field of a registration of the account."""
    batch = make_batch(folder, 1)
    bind = f"    bind: {{registration: registration-1, field: {OPT_IN_IMAGE}}}\n"
    batch.path.write_text(batch.path.read_text(encoding="utf-8") + bind, encoding="utf-8")
    endpoint.plant_registration("registration-1")
    return batch


def _linted(folder: Path, policy: Mapping[str, Any]) -> "subprocess.CompletedProcess[str]":
    """What cfn-lint says of a policy: it reads templates, so the policy is put into one."""
    resource = {"Type": "AWS::IAM::ManagedPolicy", "Properties": {"PolicyDocument": policy}}
    template = folder / "template.json"
    template.write_text(json.dumps({"AWSTemplateFormatVersion": "2010-09-09", "Resources": {"Policy": resource}}))
    command: list[str | Path] = [LINT, "--include-checks", "I3510", "--", template]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_a_policy_is_one_that_iam_takes(path: Path, tmp_path: Path) -> None:
    told = _linted(tmp_path, json.loads(path.read_text(encoding="utf-8")))

    assert (told.returncode, told.stdout) == (0, "")


def test_the_linter_knows_iam(tmp_path: Path) -> None:
    elsewhere = "arn:aws:sms-voice:*:*:registration/*"
    wrong = [
        {"Effect": "Allow", "Action": f"{PREFIX}CreateRegistrationAttachmend", "Resource": "*"},
        {"Effect": "Allow", "Action": f"{PREFIX}DeleteRegistrationAttachment", "Resource": elsewhere},
        {"Efect": "Allow", "Action": f"{PREFIX}DescribeAccountLimits", "Resource": "*"},
    ]

    told = _linted(tmp_path, {"Version": "2012-10-17", "Statement": wrong}).stdout

    assert {code for code in ("W3037", "I3510", "E3510") if code in told} == {"W3037", "I3510", "E3510"}


def test_the_policies_allow_what_the_package_calls_and_nothing_else() -> None:
    called = _called()
    reading = {name for name in called if name.startswith(("Describe", "List"))}

    assert len(called) >= 4
    assert _granted("read") == reading
    assert _granted("prune") == {DELETE}
    assert _granted("upload") == called - {DELETE}
    assert WITH_CREATE in _granted("upload")


def test_whoever_may_upload_but_not_one_thing_more_can_do_the_whole_job(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 3)
    endpoint.change(deny=sorted(OPERATIONS - STS_OPERATIONS - _granted("upload")))

    uploaded = command.run("upload", batch.manifest, "--rate", "100", cwd=tmp_path, env=endpoint.env)
    batch.path.write_text(batch.path.read_text(encoding="utf-8").replace('"acme"', '"acme AS"'), encoding="utf-8")
    tagged = command.run("upload", batch.manifest, "--rate", "100", cwd=tmp_path, env=endpoint.env)
    batch.ledger.unlink()
    rebuilt = command.run("reconcile", batch.manifest, cwd=tmp_path, env=endpoint.env)

    assert (uploaded.code, tagged.code, rebuilt.code) == (0, 0, 0), uploaded.stderr + tagged.stderr + rebuilt.stderr
    assert endpoint.stats().creates == 3
    assert [each["tags"]["Customer"] for each in endpoint.attachments()] == ["acme AS"] * 3


def test_a_manifest_that_binds_nothing_needs_no_permission_for_registrations(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    of_bind = [each for each in _policy("upload")["Statement"] if "Registrations" in each["Sid"]]
    endpoint.change(deny=sorted(_granted_by(of_bind)))
    batch = make_batch(tmp_path, 3)

    verbs = [("plan",), ("upload", "--rate", "100"), ("verify",), ("reconcile",), ("doctor",), ("prune", "--yes")]
    codes = [command.run(verb, batch.manifest, *flags, cwd=tmp_path, env=endpoint.env).code for verb, *flags in verbs]

    assert _granted_by(of_bind) == {REGISTRATIONS, FIELD_DEFINITIONS, FIELD_VALUES, PUT_FIELD}
    assert codes == [0] * len(verbs)
    assert not endpoint.stats().requests.keys() & _granted_by(of_bind)


@pytest.mark.parametrize("operation", [REGISTRATIONS, FIELD_DEFINITIONS])
def test_without_the_permission_to_look_at_registrations_nothing_is_sent(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded, operation: str
) -> None:
    batch = _bound_batch(tmp_path, endpoint)
    endpoint.change(deny=[operation])

    planned = command.run("plan", batch.manifest, cwd=tmp_path, env=endpoint.env)
    uploaded = command.run("upload", batch.manifest, cwd=tmp_path, env=endpoint.env)

    assert (planned.code, uploaded.code) == (22, 22), planned.stderr + uploaded.stderr
    assert f"`sms-voice:{operation}`" in uploaded.stderr
    assert endpoint.stats().creates == 0


def test_without_the_permission_to_put_what_was_uploaded_waits_and_is_bound_once_it_is_there(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = _bound_batch(tmp_path, endpoint)
    endpoint.change(deny=[PUT_FIELD])

    denied = command.run("upload", batch.manifest, "--rate", "100", "--json", cwd=tmp_path, env=endpoint.env)
    puts = endpoint.stats().requests[PUT_FIELD]
    endpoint.change(deny=[])
    allowed = command.run("upload", batch.manifest, "--json", cwd=tmp_path, env=endpoint.env)

    assert (denied.code, allowed.code) == (22, 0), denied.stderr + allowed.stderr
    assert f"`sms-voice:{PUT_FIELD}`" in denied.stderr
    assert (puts, endpoint.stats().creates) == (1, 1)
    assert denied.summary["states"] == {"binding": 1}
    assert allowed.summary["states"] == {"complete": 1}


def test_without_the_permission_to_read_values_a_run_goes_on_and_says_what_it_could_not_read(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = _bound_batch(tmp_path, endpoint)
    endpoint.change(deny=[FIELD_VALUES])
    bound = command.run("upload", batch.manifest, "--rate", "100", cwd=tmp_path, env=endpoint.env)
    endpoint.deny_registration("registration-1", {OPT_IN_IMAGE: {"reason": "blurred"}})

    again = command.run("upload", batch.manifest, cwd=tmp_path, env=endpoint.env)
    verified = command.run("verify", batch.manifest, cwd=tmp_path, env=endpoint.env)

    assert (bound.code, again.code, verified.code) == (0, 0, 22), bound.stderr + again.stderr + verified.stderr
    assert "the denial of `registration-1` (version 1) could not be read" in again.stderr


def test_whoever_may_only_read_can_plan_verify_and_look_and_nothing_is_created_in_his_name(
    endpoint: Endpoint, tmp_path: Path, command: Preloaded
) -> None:
    batch = make_batch(tmp_path, 3)
    command.run("upload", batch.manifest, "--only", batch.ids[0], "--rate", "100", cwd=tmp_path, env=endpoint.env)
    endpoint.change(deny=sorted(OPERATIONS - STS_OPERATIONS - _granted("read")))

    planned = command.run("plan", batch.manifest, cwd=tmp_path, env=endpoint.env)
    verified = command.run("verify", batch.manifest, cwd=tmp_path, env=endpoint.env)
    looked = command.run("doctor", batch.manifest, cwd=tmp_path, env=endpoint.env)
    uploaded = command.run("upload", batch.manifest, cwd=tmp_path, env=endpoint.env)

    assert (planned.code, looked.code, uploaded.code) == (0, 0, 22), planned.stderr + uploaded.stderr
    assert verified.code != 22
    assert len(endpoint.attachments()) == 1


def test_whoever_may_read_and_prune_can_prune(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    make_batch(tmp_path, 3)
    command.run("upload", "june.yaml", "--rate", "100", cwd=tmp_path, env=endpoint.env)
    batch = make_batch(tmp_path, 2)
    endpoint.change(deny=sorted(OPERATIONS - STS_OPERATIONS - _granted("read") - _granted("prune")))

    pruned = command.run("prune", batch.manifest, "--yes", cwd=tmp_path, env=endpoint.env)

    assert pruned.code == 0, pruned.stderr
    assert [each["status"] for each in endpoint.attachments()].count("DELETED") == 1


def test_whoever_may_upload_may_change_tags(endpoint: Endpoint, tmp_path: Path, command: Preloaded) -> None:
    batch = make_batch(tmp_path, 1)
    command.run("upload", batch.manifest, "--rate", "100", cwd=tmp_path, env=endpoint.env)
    text = batch.path.read_text(encoding="utf-8")
    batch.path.write_text(text.replace('"Country": "NO"', '"Land": "SE"'), encoding="utf-8")
    endpoint.change(deny=sorted(OPERATIONS - STS_OPERATIONS - _granted("upload")))

    changed = command.run("upload", batch.manifest, cwd=tmp_path, env=endpoint.env)

    assert changed.code == 0, changed.stderr
    (held,) = endpoint.attachments()
    assert (held["tags"].get("Land"), "Country" in held["tags"]) == ("SE", False)


def test_nothing_without_an_identity_tag_may_be_deleted() -> None:
    (delete,) = _policy("prune")["Statement"]

    assert delete["Condition"] == {"StringLike": {"aws:ResourceTag/batch-upload:token": "bu1-*"}}


def test_a_create_without_an_identity_tag_is_not_allowed_and_ours_carry_what_is_asked_for() -> None:
    (create,) = [each for each in _policy("upload")["Statement"] if "Create" in str(each["Action"])]

    assert create["Condition"] == {"StringLike": {"aws:RequestTag/batch-upload:token": "bu1-*"}}
