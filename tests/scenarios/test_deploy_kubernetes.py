"""`deploy/kubernetes.yaml`: Kubernetes takes it, its flags exist, and exit codes are treated as they are meant."""

from typing import Any

import kubernetes_validate
import pytest
import yaml

from batch_upload.errors import ExitCode
from tests.support.command import run
from tests.support.emulator_process import ROOT
from tests.support.scheduled import DEPLOY

VERSION = "1.34"
DOCUMENTS: list[dict[str, Any]] = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))


def _job() -> dict[str, Any]:
    (cron_job,) = [each for each in DOCUMENTS if each["kind"] == "CronJob"]
    job: dict[str, Any] = cron_job["spec"]["jobTemplate"]["spec"]
    return job


def _container() -> dict[str, Any]:
    (container,) = _job()["template"]["spec"]["containers"]
    found: dict[str, Any] = container
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["kind"])
def test_kubernetes_takes_each_object(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, VERSION, strict=True)


def test_kubernetes_would_not_take_a_field_that_is_wrong() -> None:
    (account, *_) = DOCUMENTS

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**account, "automountToken": False}, VERSION, strict=True)


def test_its_flags_are_ours() -> None:
    told = run(*_container()["args"], "--help", cwd=ROOT)

    assert told.code == 0, told.stderr


def test_what_a_person_must_mend_is_not_tried_again_and_what_passes_is() -> None:
    (rule,) = [each["onExitCodes"] for each in _job()["podFailurePolicy"]["rules"] if "onExitCodes" in each]

    assert rule["operator"] == "In"
    assert rule["containerName"] == _container()["name"]
    assert set(rule["values"]) == {code for code in ExitCode if code in (1, 2) or 20 <= code <= 29}


def test_all_that_is_mounted_is_there_and_the_ledger_alone_can_be_written() -> None:
    mounts = {each["name"]: each for each in _container()["volumeMounts"]}
    volumes = {each["name"] for each in _job()["template"]["spec"]["volumes"]}
    arguments = _container()["args"]

    assert mounts.keys() == volumes
    assert [name for name, mount in mounts.items() if not mount.get("readOnly")] == ["ledger"]
    assert arguments[arguments.index("--ledger") + 1].startswith(mounts["ledger"]["mountPath"] + "/")
