"""The files of `deploy/fleet/`: the tool that knows its format takes each, and its command does what it should."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from batch_upload.errors import ExitCode
from tests.support.command import COMMAND, TIMEOUT_S, Result, run
from tests.support.emulated_lanes import assert_each_token_once
from tests.support.emulator_process import ROOT, EmulatorProcess, running_emulator
from tests.support.fleets import Fleet, assert_each_once_in_each_lane, make_fleet
from tests.support.postgres import PostgresServer
from tests.support.preloaded import Preloaded
from tests.support.scheduled import DEPLOY, INSTALLED, SYSTEM_PATH, require, started_bare, unit_of, verified_units

FOLDER = DEPLOY / "fleet"
VERSION = "1.34"
"""Of Kubernetes. `backoffLimitPerIndex` is in it since 1.33."""
SERVICE, SLURM = FOLDER / "batch-upload-worker.service", FOLDER / "slurm-array.sh"
LINT = Path(sys.executable).with_name("cfn-lint")
RETRIED = {code for code in ExitCode if 10 <= code <= 19}
FINAL = {code for code in ExitCode if code in (1, 2) or 20 <= code <= 29}
LEDGER = "BATCH_UPLOAD_LEDGER"
DRAIN_S = 10
"""Seconds after SIGTERM in which what is in flight is finished and recorded."""
Document = dict[str, Any]


class Template(yaml.SafeLoader):
    """Reads a template of CloudFormation: `!Ref NAME` becomes `NAME`."""


Template.add_constructor("!Ref", lambda _, node: str(node.value))


def _documents(name: str) -> list[Document]:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def _resource(name: str, kind: str) -> Document:
    text = (FOLDER / name).read_text(encoding="utf-8")
    template = yaml.load(text, Loader=Template)  # noqa: S506 - a SafeLoader
    (found,) = [each["Properties"] for each in template["Resources"].values() if each["Type"] == kind]
    properties: Document = found
    return properties


def _job() -> Document:
    (job,) = [each["spec"] for each in _documents("kubernetes-job.yaml") if each["kind"] == "Job"]
    spec: Document = job
    return spec


def _deployment() -> Document:
    (found,) = [each["spec"] for each in _documents("kubernetes-workers.yaml") if each["kind"] == "Deployment"]
    spec: Document = found
    return spec


def _container(spec: Document) -> Document:
    (container,) = spec["template"]["spec"]["containers"]
    found: Document = container
    return found


def _task() -> Document:
    (container,) = _resource("ecs-workers.yaml", "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    found: Document = container
    return found


def _array() -> Document:
    return _resource("batch-array.yaml", "AWS::Batch::JobDefinition")


def _compose() -> Document:
    (found,) = _documents("compose.yaml")
    return found


UPLOADS: Mapping[str, Sequence[str]] = {
    "Kubernetes": _container(_job())["args"],
    "Batch": _array()["ContainerProperties"]["Command"],
}
WORKERS: Mapping[str, Sequence[str]] = {
    "Kubernetes": _container(_deployment())["args"],
    "ECS": _task()["Command"],
    "systemd": unit_of(SERVICE)["ExecStart"][0].split()[1:],
    "compose": _compose()["services"]["worker"]["command"],
    "compose upload": _compose()["services"]["upload"]["command"],
}
KUBERNETES = [each for name in ("kubernetes-job.yaml", "kubernetes-workers.yaml") for each in _documents(name)]


@pytest.mark.parametrize("document", KUBERNETES, ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_kubernetes_takes_each_object(document: Document) -> None:
    kubernetes_validate.validate(document, VERSION, strict=True)


def test_kubernetes_would_not_take_a_limit_per_index_that_is_misspelt() -> None:
    (job,) = [each for each in _documents("kubernetes-job.yaml") if each["kind"] == "Job"]

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**job, "spec": {**job["spec"], "backofLimitPerIndex": 6}}, VERSION, strict=True)


@pytest.mark.parametrize("name", ["ecs-workers.yaml", "batch-array.yaml"])
def test_cloudformation_takes_the_template(name: str) -> None:
    told = subprocess.run([LINT, "--", FOLDER / name], capture_output=True, text=True, check=False)

    assert (told.returncode, told.stdout) == (0, "")


def test_cloudformation_would_not_take_one_that_is_wrong(tmp_path: Path) -> None:
    wrong = tmp_path / "template.yaml"
    text = (FOLDER / "ecs-workers.yaml").read_text(encoding="utf-8")
    wrong.write_text(text.replace("StopTimeout:", "StopTimeOut:").replace('Memory: "2048"', 'Memory: "64"'))

    told = subprocess.run([LINT, "--", wrong], capture_output=True, text=True, check=False)

    assert told.returncode != 0
    assert {code for code in ("E3002", "E3047") if code in told.stdout} == {"E3002", "E3047"}


def test_systemd_takes_the_unit_without_a_word_and_it_can_do_little(tmp_path: Path) -> None:
    require("systemd-analyze")

    told = verified_units(tmp_path, {SERVICE.name: SERVICE.read_text(encoding="utf-8")})
    security = ("systemd-analyze", "security", "--offline=yes", "--threshold=15", SERVICE)
    rated = subprocess.run(security, capture_output=True, text=True, check=False)

    assert (told.returncode, told.stderr) == (0, "")
    assert rated.returncode == 0, rated.stdout


def test_bash_takes_the_script() -> None:
    told = subprocess.run(["bash", "-n", SLURM], capture_output=True, text=True, check=False)

    assert (told.returncode, told.stderr) == (0, "")


def test_compose_takes_the_file(tmp_path: Path) -> None:
    """By `docker compose config` where there is one; else what it refers to is there."""
    compose = _compose()
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        env = {**os.environ, "POSTGRES_PASSWORD": "canary"}
        config: list[str | Path] = ["docker", "compose", "-f", FOLDER / "compose.yaml", "config", "--quiet"]
        told = subprocess.run(config, capture_output=True, text=True, env=env, cwd=tmp_path, check=False)
        assert told.returncode == 0, told.stderr
    known = {"image", "command", "user", "read_only", "cap_drop", "security_opt", "network_mode", "depends_on"}
    known |= {"environment", "volumes", "tmpfs", "healthcheck", "restart", "stop_grace_period", "deploy", "profiles"}
    for name, service in compose["services"].items():
        assert set(service) <= known, name
        assert set(service.get("depends_on", {})) <= compose["services"].keys()
        for volume in service.get("volumes", ()):
            is_there = volume["source"] in compose["volumes"] or (FOLDER / volume["source"]).is_dir()
            assert is_there, (name, volume)
        if service.get("network_mode", "").startswith("service:"):
            assert service["network_mode"].partition(":")[2] in compose["services"]
    assert compose["services"]["worker"]["deploy"]["replicas"] == 2


@pytest.mark.parametrize("name", UPLOADS)
def test_the_flags_of_a_job_are_ours_and_its_size_is_that_of_its_array(name: str) -> None:
    told = run(*UPLOADS[name], "--help", cwd=ROOT)

    assert told.code == 0, told.stderr
    assert UPLOADS[name][UPLOADS[name].index("--shard") + 1] == "/8"
    assert (_job()["completionMode"], _job()["completions"]) == ("Indexed", 8)
    assert "--array-properties size=8" in (FOLDER / "batch-array.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", WORKERS)
def test_the_flags_of_a_worker_are_ours(name: str) -> None:
    told = run(*WORKERS[name], "--help", cwd=ROOT)

    assert told.code == 0, told.stderr


def test_what_a_person_must_mend_is_not_started_again_and_what_passes_is() -> None:
    rules = [rule for rule in _job()["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    batch = _array()["RetryStrategy"]["EvaluateOnExit"]
    ended_by_batch = {code for code in ExitCode for rule in batch if _glob_matches(rule["OnExitCode"], code)}

    assert [rule["action"] for rule in rules] == ["FailJob", "FailIndex"]
    assert all(rule["onExitCodes"]["containerName"] == _container(_job())["name"] for rule in rules)
    assert {code for rule in rules for code in rule["onExitCodes"]["values"]} == FINAL
    assert {rule["Action"] for rule in batch} == {"EXIT"}
    assert ended_by_batch == FINAL
    assert not RETRIED & ended_by_batch
    assert unit_of(SERVICE)["Restart"] == ["always"]
    assert unit_of(SERVICE)["RestartPreventExitStatus"] == [str(int(ExitCode.USAGE))]


def _glob_matches(pattern: str, code: ExitCode) -> bool:
    """Match as AWS Batch does: an asterisk at the end stands for anything."""
    text = str(int(code))
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def test_a_worker_has_longer_to_end_than_it_needs() -> None:
    times = [
        _deployment()["template"]["spec"]["terminationGracePeriodSeconds"],
        _job()["template"]["spec"]["terminationGracePeriodSeconds"],
        _task()["StopTimeout"],
        int(unit_of(SERVICE)["TimeoutStopSec"][0]),
        int(_compose()["services"]["worker"]["stop_grace_period"].removesuffix("s")),
        int(re.findall(r"#SBATCH --signal=B:TERM@(\d+)", SLURM.read_text(encoding="utf-8"))[0]),
    ]

    assert all(seconds >= 2 * DRAIN_S for seconds in times)


@pytest.mark.parametrize("spec", [_job(), _deployment()], ids=["job", "workers"])
def test_a_pod_may_write_nothing_but_its_cache_and_opens_no_port(spec: Document) -> None:
    container, pod = _container(spec), spec["template"]["spec"]
    mounts = {each["name"]: each for each in container["volumeMounts"]}

    assert mounts.keys() == {each["name"] for each in pod["volumes"]}
    assert [name for name, mount in mounts.items() if not mount.get("readOnly")] == ["cache"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert "ports" not in container


def test_containers_of_aws_and_compose_may_write_nothing_but_their_cache_and_open_no_port() -> None:
    task, array, services = _task(), _array()["ContainerProperties"], _compose()["services"]

    for each in (task, array):
        assert each["ReadonlyRootFilesystem"] is True
        assert each["User"] == "65532:65532"
        assert [mount["ReadOnly"] for mount in each["MountPoints"] if mount["SourceVolume"] == "documents"] == [True]
    assert "PortMappings" not in task
    assert [name for name, service in services.items() if "ports" in service] == []
    assert all(services[name]["read_only"] for name in ("worker", "upload", "emulator"))


def test_no_file_has_a_password() -> None:
    for path in sorted(FOLDER.iterdir()):
        urls = re.findall(r"postgresql://([^@\s\"`]*)@", path.read_text(encoding="utf-8"))
        passwords = {user.partition(":")[2] for user in urls}
        assert passwords <= {"", "PASSWORD", "${POSTGRES_PASSWORD:?set it to a password of your own}"}, path
    (secret,) = [each["valueFrom"] for each in _container(_deployment())["env"] if each["name"] == LEDGER]
    assert secret["secretKeyRef"]["name"] == "batch-upload-ledger"
    assert [each["Name"] for each in (*_task()["Secrets"], *_array()["ContainerProperties"]["Secrets"])] == [LEDGER] * 2
    assert unit_of(SERVICE)["EnvironmentFile"] == ["/etc/batch-upload/worker.env"]


@pytest.mark.parametrize(
    ("name", "variable"), [("Kubernetes", "JOB_COMPLETION_INDEX"), ("Batch", "AWS_BATCH_JOB_ARRAY_INDEX")]
)
def test_the_jobs_of_an_array_upload_every_lane_once(
    command: Preloaded, tmp_path: Path, name: str, variable: str
) -> None:
    fleet = make_fleet(tmp_path / "documents", accounts=3, items=2)
    arguments = [each.replace("/documents", str(fleet.folder)) for each in UPLOADS[name]]

    with running_emulator({"rates": {"*": None}, "processing_s": 0}) as emulator:
        env = {**_aws(emulator), "AWS_BATCH_JOB_ARRAY_SIZE": "8"}
        ends = [
            command.run(*arguments, cwd=tmp_path, env={**env, variable: str(index), **_own_ledger(tmp_path, index)})
            for index in range(8)
        ]
        held = emulator.attachments()

    assert [ended.code for ended in ends] == [0] * 8, [ended.stderr for ended in ends if ended.code]
    assert_each_token_once(held)
    assert_each_once_in_each_lane(held, fleet, fleet.labels)


def test_the_script_uploads_the_shard_of_its_task(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path / "documents", accounts=2, items=1)

    with running_emulator({"rates": {"*": None}, "processing_s": 0}) as emulator:
        ends = [_slurm_task(tmp_path, fleet, emulator, index) for index in range(8)]
        held = emulator.attachments()

    assert [(ended.code, requeued) for ended, requeued in ends] == [(0, "")] * 8
    assert_each_token_once(held)
    assert_each_once_in_each_lane(held, fleet, fleet.labels)


@pytest.mark.parametrize(
    ("restarts", "settings", "expected"),
    [
        (0, {"attachments_per_day": 0}, (0, "requeue 77_3\n")),
        (9, {"attachments_per_day": 0}, (ExitCode.NO_CAPACITY, "")),
        (0, {"deny": ["CreateRegistrationAttachment"]}, (ExitCode.ACCESS, "")),
    ],
)
def test_the_script_asks_to_be_started_again_where_that_helps_and_not_for_ever(
    tmp_path: Path, restarts: int, settings: dict[str, Any], expected: tuple[int, str]
) -> None:
    fleet = make_fleet(tmp_path / "documents", accounts=8, items=1)

    with running_emulator({"rates": {"*": None}, "processing_s": 0, **settings}) as emulator:
        ended, requeued = _slurm_task(tmp_path, fleet, emulator, 3, restarts=restarts)

    assert (ended.code, requeued) == expected, ended.stderr


def test_the_script_hands_the_signal_on_and_waits_until_what_is_in_flight_has_ended(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path / "documents", accounts=8, items=4)
    slow = {"action": "slow", "operation": "CreateRegistrationAttachment", "seconds": 1}

    with running_emulator({"rates": {"*": None}, "processing_s": 0, "faults": [slow]}) as emulator:
        stopped, requeued = _slurm_task(tmp_path, fleet, emulator, 3, stops=True)
        again, _ = _slurm_task(tmp_path, fleet, emulator, 3, restarts=1)
        held = emulator.attachments()

    assert (stopped.code, requeued) == (0, "requeue 77_3\n"), stopped.stderr
    assert "SIGTERM" in stopped.stderr
    assert again.code == 0, again.stderr
    assert_each_token_once(held)


def test_the_worker_of_the_unit_uploads_what_is_queued_and_ends_in_time(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    fleet, home = make_fleet(tmp_path / "documents", accounts=2, items=2), tmp_path / "state"
    home.mkdir()
    line, uploads = unit_of(SERVICE)["ExecStart"][0], WORKERS["compose upload"]
    upload = [each.replace("/documents", str(fleet.folder)) for each in uploads]
    before = sorted(fleet.folder.rglob("*"))
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}

    with running_emulator({"rates": {"*": None}, "processing_s": 0}) as emulator:
        variables = {**_aws(emulator), **cache, LEDGER: postgres.new_database("worker_of_the_unit")}
        arguments = [str(COMMAND), *shlex.split(line.removeprefix(INSTALLED))]
        with started_bare(arguments, home=home, variables=variables) as worker:
            uploaded = run(*upload, cwd=tmp_path, env=variables)
            worker.send_signal(signal.Signals[unit_of(SERVICE)["KillSignal"][0]])
            worker.communicate(timeout=int(unit_of(SERVICE)["TimeoutStopSec"][0]))
        held = emulator.attachments()

    assert uploaded.code == 0, uploaded.stderr
    assert str(worker.returncode) in unit_of(SERVICE)["SuccessExitStatus"]
    assert_each_once_in_each_lane(held, fleet, fleet.labels)
    assert sorted(fleet.folder.rglob("*")) == before


def _aws(emulator: EmulatorProcess) -> dict[str, str]:
    keys = {"AWS_ACCESS_KEY_ID": "999988887777", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
    return {**keys, "AWS_ENDPOINT_URL": emulator.url, "BATCH_UPLOAD_RATE": "50"}


def _own_ledger(folder: Path, index: int) -> dict[str, str]:
    """Return the variable by which the files get their ledger, here a file for each shard."""
    return {LEDGER: str(folder / f"fleet.{index}-of-8.ledger")}


def _slurm_task(
    folder: Path, fleet: Fleet, emulator: EmulatorProcess, index: int, *, restarts: int = 0, stops: bool = False
) -> tuple[Result, str]:
    """Run the script as SLURM runs a task of its array. Return its end, and what it asked of `scontrol`.

    `stops`: SIGTERM to the script, as `--signal=B:TERM` has it, as soon as its first line is there.
    """
    tools, asked = folder / "bin", folder / "asked"
    tools.mkdir(exist_ok=True)
    asked.write_text("")
    control = tools / "scontrol"
    control.write_text(f'#!/bin/sh\necho "$@" >> {asked}\n')
    control.chmod(0o755)
    script = folder / "slurm_script"
    text = SLURM.read_text(encoding="utf-8")
    assert "/opt/batch-upload/bin" in text
    script.write_text(text.replace("/opt/batch-upload/bin", str(COMMAND.parent)))
    env = {
        **_aws(emulator),
        **_own_ledger(folder, index),
        "HOME": str(folder),
        "PATH": f"{tools}:{SYSTEM_PATH}",
        "SLURM_ARRAY_JOB_ID": "77",
        "SLURM_ARRAY_TASK_ID": str(index),
        "SLURM_RESTART_COUNT": str(restarts),
    }
    arguments: list[str | Path] = [shutil.which("bash") or "bash", script, fleet.path]
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=folder
    ) as process:
        first = ""
        if stops and process.stderr is not None:
            first = process.stderr.readline()
            process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=TIMEOUT_S)
    return Result(process.returncode, out, first + err), asked.read_text()
