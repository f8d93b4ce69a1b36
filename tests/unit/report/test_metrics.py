"""The numbers of a run in Prometheus' text format, judged by Prometheus' own parser."""

import math
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from batch_upload.errors import ExitCode
from batch_upload.model import State
from batch_upload.report.metrics import CARRIED, HELP, CarriedMetrics, RunMetrics, carried_metrics
from batch_upload.summary import Summary, exit_of
from tests.support.emulator_process import ROOT
from tests.unit.report.samples import BEGIN, TOO_LARGE, after, created, ended, plan_of, started, throttled

PAGE = ROOT / "docs" / "output.md"
MANIFEST = 'batches/"june"\\\n.yaml'
"""A name that a format with quotes and lines must survive."""
Found = dict[tuple[str, str], float]


def metrics(before: str = "") -> RunMetrics:
    carried = carried_metrics(before, manifest=MANIFEST, verb="upload") if before else CarriedMetrics()
    return RunMetrics(manifest=MANIFEST, verb="upload", run_id="run-1", version="1", began_at=BEGIN, carried=carried)


def parsed(text: str) -> Found:
    """Every number by its name and the label that tells it from others of the name."""
    return dict(_parsed(text))


def _parsed(text: str) -> Iterator[tuple[tuple[str, str], float]]:
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation == HELP[family.name.removeprefix("batch_upload_")]
        for sample in family.samples:
            labels = dict(sample.labels)
            assert (labels["manifest"], labels["verb"]) == (MANIFEST, "upload")
            mark = labels.get("state") or labels.get("operation") or ""
            yield (sample.name.removeprefix("batch_upload_"), mark), sample.value


def summary(code: ExitCode, states: dict[str, int] | None = None) -> Summary:
    counted = states or {}
    return Summary(verb="upload", exit=exit_of(code), states=counted, items=sum(counted.values()))


def test_a_run_that_goes_on_counts_its_items_by_state() -> None:
    run = metrics()
    run.notify(started(plan_of(4)))
    run.notify(created("item-0", after(1)))
    run.notify(ended("item-0", after(2)))
    run.notify(created("item-1", after(2)))
    run.notify(ended("item-2", after(3), State.FAILED, fault=TOO_LARGE))
    run.notify(throttled(after(3)))

    found = parsed(run.text(after(10)))

    states = {State.COMPLETE, State.PROCESSING, State.FAILED, State.PENDING}
    assert {state: found["items", state] for state in State} == {state: int(state in states) for state in State}
    assert found["run_in_progress", ""] == 1
    assert found["run_duration_seconds", ""] == 10
    assert found["run_throttled_requests", "CreateRegistrationAttachment"] == 1
    assert found["run_uploaded_items", ""] == 2
    assert ("run_exit_code", "") not in found
    assert ("last_success_timestamp_seconds", "") not in found


def test_what_only_left_out_is_counted_as_it_stands() -> None:
    run = metrics()
    run.notify(replace(started(plan_of(1)), states={"pending": 3, "complete": 4}))
    run.notify(ended("item-0", after(1)))

    found = parsed(run.text(after(2)))

    assert (found["items", "pending"], found["items", "complete"]) == (2, 5)


def test_the_end_of_a_run_has_its_exit_code_and_when() -> None:
    found = parsed(metrics().text(after(60), summary(ExitCode.DONE, {"complete": 3})))

    assert found["run_exit_code", ""] == 0
    assert found["run_in_progress", ""] == 0
    assert found["run_end_timestamp_seconds", ""] == after(60).timestamp()
    assert found["last_success_timestamp_seconds", ""] == after(60).timestamp()
    assert found["items", "complete"] == 3


@pytest.mark.parametrize("code", [code for code in ExitCode if code not in (0, 3)], ids=lambda code: str(int(code)))
def test_the_last_success_and_the_items_outlive_a_run_that_fails(code: ExitCode) -> None:
    before = metrics().text(after(60), summary(ExitCode.DONE, {"complete": 3}))

    found = parsed(metrics(before).text(after(4000), summary(code)))

    assert found["run_exit_code", ""] == code
    assert found["last_success_timestamp_seconds", ""] == after(60).timestamp()
    assert found["items", "complete"] == 3


def test_while_the_next_run_goes_on_the_last_exit_code_stays() -> None:
    before = metrics().text(after(60), summary(ExitCode.ITEMS_FAILED))

    found = parsed(metrics(before).text(after(4000)))

    assert (found["run_exit_code", ""], found["run_in_progress", ""]) == (20, 1)


def test_whose_lane_it_is_is_remembered_for_a_run_that_never_asked() -> None:
    first = metrics()
    first.notify(started(plan_of(1)))

    again = metrics(first.text(after(1))).text(after(2), summary(ExitCode.ACCESS))

    assert 'batch="june",account="123456789012",region="us-east-1"' in again


@pytest.mark.parametrize(
    "before",
    ["", "\x00", "batch_upload_items 3", "batch_upload_items{", 'batch_upload_nonsense{manifest="x"} 1\n' * 3,
     'batch_upload_items{manifest="other.yaml",verb="upload",state="complete"} 7\n', "# HELP x y\n{}{}{}"],
)  # fmt: skip
def test_what_another_wrote_is_passed_over(before: str) -> None:
    assert carried_metrics(before, manifest=MANIFEST, verb="upload") == CarriedMetrics()


def test_every_metric_is_a_number_with_a_help_text() -> None:
    run = metrics()
    run.notify(started(plan_of(1)))
    run.notify(throttled(after(1)))
    found = parsed(run.text(after(2), summary(ExitCode.DONE, {"pending": 1})))

    assert {name for name, _ in found} == set(HELP) - {"rate_per_second"}
    assert all(math.isfinite(value) for value in found.values())


def test_the_page_has_a_row_for_each_metric() -> None:
    rows = re.findall(r"^\| `batch_upload_(\w+)` \| .*? \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    told = {name: f"{text} *Kept.*" if name in CARRIED else text for name, text in HELP.items()}
    assert dict(rows) == told
