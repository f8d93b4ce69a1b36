"""`deploy/prometheus/rules.yaml`: Prometheus takes it, the alerts come when they should, of metrics that exist."""

import re
import subprocess
from pathlib import Path

from batch_upload.report.metrics import HELP, METRIC_PREFIX
from tests.support.emulator_process import ROOT
from tests.support.scheduled import DEPLOY, require

RULES = DEPLOY / "prometheus" / "rules.yaml"
CASES = ROOT / "tests" / "scenarios" / "alerts.yaml"


def _promtool(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    require("promtool")
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


def test_prometheus_takes_the_rules() -> None:
    told = _promtool("check", "rules", RULES)

    assert told.returncode == 0, told.stderr


def test_each_alert_comes_when_it_should_and_not_before() -> None:
    told = _promtool("test", "rules", CASES)

    assert told.returncode == 0, told.stderr


def test_every_alert_is_tried() -> None:
    named = set(re.findall(r"alert: (\w+)", RULES.read_text(encoding="utf-8")))

    assert named
    assert named == set(re.findall(r"alertname: (\w+)", CASES.read_text(encoding="utf-8")))


def test_operations_lists_the_alerts_with_their_severity() -> None:
    named = re.findall(r"alert: (\w+)(?:.|\n)*?severity: (\w+)", RULES.read_text(encoding="utf-8"))
    shown = re.findall(
        r"^\| `(BatchUpload\w+)` \| (\w+) \|", (ROOT / "docs" / "operations.md").read_text("utf-8"), re.MULTILINE
    )

    assert shown == named


def test_the_rules_name_only_metrics_that_are_written() -> None:
    named = set(re.findall(rf"\b{METRIC_PREFIX}(\w+)\{{", RULES.read_text(encoding="utf-8")))

    assert named
    assert named <= HELP.keys()
