"""The numbers of a run in Prometheus' text format, judged by Prometheus' own parser."""

import math
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from batch_upload.errors import ExitCode
from batch_upload.events import LanesChosen, LeaseChanged
from batch_upload.model import State
from batch_upload.report.metrics import (
    CARRIED,
    HELP,
    LANES_WRITTEN_MAX,
    CarriedMetrics,
    RunMetrics,
    carried_metrics,
)
from batch_upload.summary import LaneSummary, Summary, exit_of
from tests.support.emulator_process import ROOT
from tests.unit.report.samples import (
    BEGIN,
    HOSTILE_NAMES,
    TOO_LARGE,
    after,
    answered,
    created,
    ended,
    lane_ended,
    of_lane,
    plan_of,
    started,
    throttled,
)

ONLY_WITH_TARGETS = frozenset(
    {"lane_exit_code", "lane_last_success_timestamp_seconds", "lanes", "lanes_items", "lanes_uploaded_items"}
)
"""Metrics of a manifest with `targets` alone."""
ONLY_IN_POSTGRESQL = frozenset({"lease_fence", "lease_held", "lease_held_seconds"})
"""Metrics of a run whose ledger is a PostgreSQL database, once it has taken the lane."""
PAGE = ROOT / "docs" / "output.md"
MANIFEST = 'batches/"june"\\\n.yaml'
"""A name that a format with quotes and lines must survive."""
Found = dict[tuple[str, str], float]


def metrics(before: str = "") -> RunMetrics:
    carried = carried_metrics(before, manifest=MANIFEST, verb="upload") if before else CarriedMetrics()
    return RunMetrics(
        manifest=MANIFEST, verb="upload", run_id="run-1", version="1", host="a", began_at=BEGIN, carried=carried
    )


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

    assert {name for name, _ in found} == set(HELP) - {"rate_per_second"} - ONLY_WITH_TARGETS - ONLY_IN_POSTGRESQL
    assert all(math.isfinite(value) for value in found.values())


def test_the_page_has_a_row_for_each_metric() -> None:
    rows = re.findall(r"^\| `batch_upload_(\w+)` \| .*? \| (.*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    told = {name: f"{text} *Kept.*" if name in CARRIED else text for name, text in HELP.items()}
    assert dict(rows) == told


def lanes_of(*labels: str, total: int | None = None, before: str = "") -> RunMetrics:
    """The metrics of a run over these lanes: in each an item was created, and one failed."""
    run = metrics(before)
    run.notify(LanesChosen("june", labels, total=total or len(labels), at=BEGIN))
    for label in labels:
        run.notify(of_lane(started(plan_of(3)), label))
        run.notify(of_lane(answered("item-0", after(1), rate=0.5), label))
        run.notify(of_lane(created("item-0", after(1)), label))
        run.notify(of_lane(ended("item-1", after(2), State.FAILED, fault=TOO_LARGE), label))
    return run


def by_lane(text: str, name: str) -> dict[tuple[str, ...], float]:
    """The samples of a metric by all labels but those of the whole file."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert len(sample.labels) == len(set(sample.labels))
            if sample.name == f"batch_upload_{name}":
                key = tuple(
                    value for label, value in sample.labels.items() if label not in ("manifest", "verb", "batch")
                )
                assert key not in found
                found[key] = sample.value
    return found


@pytest.mark.parametrize("count", [1, 2, 80, 200])
def test_each_lane_has_its_series_and_their_sums_are_there_too(count: int) -> None:
    labels = [f"t{number}/us-east-1" for number in range(count)]
    run = lanes_of(*labels)
    run.notify(of_lane(lane_ended(ExitCode.ACCESS, after(9)), labels[0]))

    text = run.text(after(10))

    failed = {key[0]: value for key, value in by_lane(text, "items").items() if key[-1] == "failed"}
    assert failed == dict.fromkeys(labels, 1)
    assert by_lane(text, "lanes_items")["failed",] == count
    assert by_lane(text, "lanes_uploaded_items")[()] == count
    assert by_lane(text, "lanes") == {("waiting",): 0, ("running",): count - 1, ("done",): 0, ("failed",): 1}
    assert by_lane(text, "lane_exit_code") == {(labels[0], "123456789012", "us-east-1"): 22}
    assert (
        by_lane(text, "rate_per_second")[labels[-1], "123456789012", "us-east-1", "CreateRegistrationAttachment"] == 0.5
    )
    assert by_lane(text, "run_in_progress") == {(): 1}
    assert 'batch="june"' in text
    for sample in re.findall(r"^batch_upload_items.*", text, re.MULTILINE):
        assert 'target="' in sample


def test_the_end_of_a_run_has_each_lanes_states_code_and_success() -> None:
    run = lanes_of("a/r", "b/r")
    ending = LaneSummary("a/r", "1" * 12, "r", exit_of(ExitCode.DONE), 3, {"complete": 3}, {"X": 4}, 0)
    other = LaneSummary("b/r", None, "r", exit_of(ExitCode.ACCESS), 3, {"pending": 3}, {}, 0)
    whole = replace(summary(ExitCode.ACCESS, {"complete": 3, "pending": 3}), lanes=(ending, other))

    text = run.text(after(60), whole)

    assert by_lane(text, "items")["a/r", "1" * 12, "r", "complete"] == 3
    assert by_lane(text, "items")["b/r", "123456789012", "r", "pending"] == 3
    assert by_lane(text, "run_requests")["a/r", "1" * 12, "r", "X"] == 4
    assert by_lane(text, "lane_exit_code") == {("a/r", "1" * 12, "r"): 0, ("b/r", "123456789012", "r"): 22}
    assert by_lane(text, "lane_last_success_timestamp_seconds") == {("a/r", "1" * 12, "r"): after(60).timestamp()}
    assert by_lane(text, "run_exit_code") == {(): 22}
    assert by_lane(text, "lanes_items")["complete",] == 3


def test_lanes_that_a_run_leaves_out_stay_as_they_were_and_go_with_the_manifest() -> None:
    first = lanes_of("a/r", "b/r")
    first.notify(of_lane(lane_ended(ExitCode.DONE, after(5)), "b/r"))
    before = first.text(after(6))

    part = lanes_of("a/r", total=2, before=before).text(after(7))
    whole = lanes_of("a/r", before=before).text(after(7))
    unread = metrics(before).text(after(7))

    success = {("b/r", "123456789012", "r"): after(5).timestamp()}
    assert by_lane(part, "lane_last_success_timestamp_seconds") == success
    assert by_lane(part, "items")["b/r", "123456789012", "r", "failed"] == 1
    assert by_lane(whole, "lane_last_success_timestamp_seconds") == {}
    assert {key[0] for key in by_lane(whole, "items")} == {"a/r"}
    assert by_lane(unread, "lane_last_success_timestamp_seconds") == success
    assert 'batch="june"' in unread


def test_the_numbers_of_a_manifest_that_had_no_targets_do_not_stay_when_it_has() -> None:
    alone = metrics()
    alone.notify(started(plan_of(3)))

    assert {key[0] for key in by_lane(lanes_of("a/r", before=alone.text(after(1))).text(after(2)), "items")} == {"a/r"}


def test_a_file_is_bounded_and_lanes_with_failures_are_in_it() -> None:
    labels = [f"t{number}/us-east-1" for number in range(LANES_WRITTEN_MAX + 100)]
    run = metrics()
    run.notify(LanesChosen("june", tuple(labels), total=len(labels), at=BEGIN))
    for label in labels:
        run.notify(of_lane(started(plan_of(2)), label))
    run.notify(of_lane(ended("item-0", after(1), State.FAILED, fault=TOO_LARGE), labels[-1]))

    text = run.text(after(2))

    assert len({key[0] for key in by_lane(text, "items")}) == LANES_WRITTEN_MAX
    assert by_lane(text, "items")[labels[-1], "123456789012", "us-east-1", "failed"] == 1
    assert by_lane(text, "lanes")["running",] == len(labels)
    assert len(text) < 2_000_000


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_targets_name_comes_back_from_its_label_and_is_carried_on(name: str) -> None:
    label = f"{name}/us-east-1"
    text = lanes_of(label, total=2).text(after(1))
    again = lanes_of("b/r", total=2, before=text).text(after(2))

    escaped = label.encode("utf-8", "backslashreplace").decode()
    for found in (text, again):
        assert by_lane(found, "items")[escaped, "123456789012", "us-east-1", "failed"] == 1
        found.encode("utf-8")


def test_the_lease_of_a_lane_is_held_until_it_is_given_back_and_its_fence_is_kept() -> None:
    run = metrics()
    run.notify(LeaseChanged(3, is_held=True, at=after(5)))
    held = parsed(run.text(after(65)))
    run.notify(LeaseChanged(3, is_held=False, at=after(70)))
    text = run.text(after(90), summary(ExitCode.DONE))
    ended, again = parsed(text), parsed(metrics(text).text(after(100)))

    names = ("lease_fence", "lease_held", "lease_held_seconds")
    assert [held[name, ""] for name in names] == [3, 1, 60]
    assert [ended[name, ""] for name in names] == [3, 0, 65]
    assert [again.get((name, "")) for name in names] == [3, None, None]


def test_each_lane_has_a_lease_of_its_own() -> None:
    run = lanes_of("acme/us-east-1", "beta/us-east-1")
    run.notify(of_lane(LeaseChanged(7, is_held=True, at=after(1)), "beta/us-east-1"))

    families = {each.name: each for each in text_string_to_metric_families(run.text(after(2)))}

    fences = [(each.labels["target"], each.value) for each in families["batch_upload_lease_fence"].samples]
    assert fences == [("beta/us-east-1", 7)]
