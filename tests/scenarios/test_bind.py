"""Attachments are put into the fields of registrations by the step after the upload, and every verb tells of it."""

from pathlib import Path

import pytest

from batch_upload.operations import CREATE, FIELD_DEFINITIONS, FIELD_VALUES, PUT_FIELD, REGISTRATIONS
from tests.support.batches import assert_adds_up, pdf
from tests.support.bound_batch import CAMPAIGN, OPT_IN, PRIVACY, TERMS, BoundBatch
from tests.support.emulator_process import EmulatorProcess
from tests.support.endpoint import Endpoint
from tests.support.preloaded import Preloaded

READS = {REGISTRATIONS, FIELD_DEFINITIONS, FIELD_VALUES}


@pytest.fixture
def batch(endpoint: Endpoint, emulator_process: EmulatorProcess, command: Preloaded, tmp_path: Path) -> BoundBatch:
    return BoundBatch(tmp_path, endpoint, emulator_process, command)


def attachment_of(batch: BoundBatch, item_id: str) -> str:
    found: str = batch.run("status").item(item_id)["registration_attachment_id"]
    return found


def test_a_batch_is_planned_uploaded_put_into_its_fields_and_told_of_by_every_verb(batch: BoundBatch) -> None:
    campaign, toll_free = batch.registration(CAMPAIGN), batch.registration()
    batch.write(
        {"terms": (campaign, TERMS), "privacy": (campaign, PRIVACY), "opt-in": (toll_free, OPT_IN), "loa": None}
    )

    planned = batch.run("plan", "--detailed-exitcode")
    assert planned.code == 3
    reasons = {line["id"]: line["reason"] for line in planned.of("action")}
    assert reasons["terms"] == f"new, then bound to `{TERMS}` of `{campaign}`"
    assert reasons["loa"] == "new"
    calls = planned.of("totals")[0]["calls"]
    assert (calls[CREATE], calls[PUT_FIELD], calls[REGISTRATIONS], calls[FIELD_DEFINITIONS]) == (4, 3, 1, 2)

    done = batch.run("upload", "--rate", "100")
    assert (done.code, assert_adds_up(done)["states"]) == (0, {"complete": 4})
    assert (done.summary["uploaded"], done.summary["bound"]) == (4, 3)
    assert done.summary["registrations_ready"] == sorted([campaign, toll_free])
    ids = {line["id"]: line["registration_attachment_id"] for line in done.of("item")}
    assert batch.held(campaign) == {TERMS: ids["terms"], PRIVACY: ids["privacy"]}
    assert batch.held(toll_free) == {OPT_IN: ids["opt-in"]}
    assert {line["id"]: line["bound_to"] for line in done.of("item")} == {
        "terms": f"{campaign}/{TERMS}",
        "privacy": f"{campaign}/{PRIVACY}",
        "opt-in": f"{toll_free}/{OPT_IN}",
        "loa": None,
    }

    before = batch.endpoint.stats().requests
    again = batch.run("upload")
    assert (again.code, again.summary["bound"], again.summary["registrations_ready"]) == (0, 0, [])
    sent = batch.endpoint.stats().requests - before
    assert sent[REGISTRATIONS] == 1
    assert sent.keys() <= {REGISTRATIONS, "GetCallerIdentity"}
    assert "nothing to do" in batch.said("upload")
    assert batch.run("plan", "--detailed-exitcode").code == 0

    assert "bound to: `messagingUseCase.optInImage`" in batch.said("why", "opt-in")
    history = batch.run("why", "opt-in")
    (item,) = history.of("item")
    assert (item["bind_state"], item["bound_version"], item["denial"]) == ("bound", 1, None)
    (attempt,) = history.of("bind_attempt")
    assert (attempt["outcome"], attempt["version"], attempt["bind"]) == ("accepted", 1, f"{toll_free}/{OPT_IN}")
    table = batch.said("report").splitlines()
    assert sum(f"{campaign}/" in line for line in table) == 2
    verified = batch.run("verify")
    assert (verified.code, verified.of("finding"), verified.of("comparison")[0]["bound"]) == (0, [], 3)


def test_a_manifest_without_bind_makes_no_request_more(batch: BoundBatch) -> None:
    batch.registration()
    batch.write({"a": None, "b": None})

    for verb in ("plan", "upload", "upload", "verify", "plan"):
        assert batch.run(verb).code == 0

    assert not batch.endpoint.stats().requests.keys() & {*READS, PUT_FIELD}


@pytest.mark.parametrize("verb", ["upload", "plan"])
def test_what_the_service_does_not_take_is_a_problem_at_its_bind_and_nothing_is_sent(
    batch: BoundBatch, verb: str
) -> None:
    campaign = batch.registration(CAMPAIGN)
    batch.write({
        "fine": (campaign, TERMS),
        "nowhere": ("registration-nowhere", OPT_IN),
        "close": (campaign, "campaignInfo.privacyPolicyFil"),
        "text": (campaign, "campaignInfo.campaignName"),
    })  # fmt: skip

    ended = batch.run(verb, "--deadline", "1h")

    assert ended.code == 21
    problems = [(line["line"], line["column"], line["code"], line["message"]) for line in ended.of("problem")]
    assert [each[:3] for each in problems] == [
        (7, 44, "bind-registration"),
        (8, 40, "bind-field"),
        (9, 38, "bind-field"),
    ]
    assert "`campaignInfo.privacyPolicyFile`" in problems[1][3]
    assert "validate" not in ended.stderr
    assert "--skip-invalid" in ended.stderr
    assert "june.yaml:7:44: " in ended.stderr
    assert batch.endpoint.attachments() == []
    assert batch.endpoint.stats().requests[PUT_FIELD] == 0
    if verb == "upload":
        assert "nothing was sent" in ended.stderr
        assert batch.run("status").states == {"pending": 4}
        assert "  batch-upload plan june.yaml    # lists the problems, those of registrations" in batch.said("status")


def test_a_plan_of_which_nothing_can_be_sent_does_not_say_that_nothing_is_listed(batch: BoundBatch) -> None:
    batch.write({"nowhere": ("registration-nowhere", OPT_IN)})

    said = batch.said("plan")

    assert said.startswith("nothing to do\n")
    assert "registration `registration-nowhere` does not exist" in said


def test_with_skip_invalid_the_rest_goes_on_and_the_others_are_invalid(batch: BoundBatch) -> None:
    campaign = batch.registration(CAMPAIGN)
    batch.write({"fine": (campaign, TERMS), "nowhere": ("registration-nowhere", OPT_IN)})

    planned = batch.run("plan", "--skip-invalid")
    done = batch.run("upload", "--skip-invalid", "--rate", "100")

    assert {line["id"]: line["action"] for line in planned.of("action")} == {"fine": "create", "nowhere": "invalid"}
    assert planned.code == 20
    assert (done.code, assert_adds_up(done)["states"]) == (20, {"complete": 1, "invalid": 1})
    assert done.item("nowhere")["error"]["code"] == "bind-registration"
    assert list(batch.held(campaign)) == [TERMS]
    assert len(batch.endpoint.attachments()) == 1


def test_a_submitted_registration_is_bound_after_its_denial_in_a_new_version_without_a_create(
    batch: BoundBatch,
) -> None:
    registration = batch.registration()
    batch.write({"opt-in": (registration, OPT_IN)})
    batch.process.review_registration(registration, "SUBMITTED")

    late = batch.run("upload", "--rate", "100")
    assert (late.code, late.states) == (20, {"failed": 1})
    error = late.item("opt-in")["error"]
    assert error["reason"] in ("REGISTRATION_ALREADY_SUBMITTED", "EDIT_REGISTRATION_FIELD_VALUES_NOT_ALLOWED")
    assert "version" in error["message"]
    told = batch.said("status")
    assert f"`opt-in` → `{OPT_IN}` of `{registration}`" in told
    assert "uploaded, but refused for the field" in told
    assert batch.run("why", "opt-in").of("bind_attempt")[0]["outcome"] == "refused"

    batch.process.deny_registration(registration, {})
    batch.process.open_registration_version(registration)
    planned = batch.run("plan")
    done = batch.run("upload", "--only", "failed")

    assert [line["action"] for line in planned.of("action")] == ["bind"]
    assert planned.of("totals")[0]["calls"][PUT_FIELD] == 1
    assert "to put 1 attachment into its field" in batch.said("plan") or done.code == 0
    assert (done.code, done.states, done.summary["bound"]) == (0, {"complete": 1}, 1)
    assert batch.endpoint.stats().creates == 1
    assert batch.held(registration, version=2) == {OPT_IN: attachment_of(batch, "opt-in")}


def test_a_denial_is_told_everywhere_and_a_new_version_is_bound_again(batch: BoundBatch) -> None:
    registration = batch.registration()
    batch.write({"opt-in": (registration, OPT_IN)})
    assert batch.run("upload", "--rate", "100").code == 0
    complete_since = batch.run("why", "opt-in").item("opt-in")["since"]
    said = {OPT_IN: {"reason": "OPT_IN_IMAGE_UNREADABLE", "feedback": "scan it again\x1b[2J"}}
    batch.process.deny_registration(registration, said)

    read = batch.run("upload")

    assert (read.code, read.summary["bound"]) == (0, 0)
    assert any("OPT_IN_IMAGE_UNREADABLE" in line["message"] for line in read.of("notice"))
    assert not any("OPT_IN" in line["message"] for line in batch.run("upload").of("notice"))
    for verb in ("status", "verify"):
        (line,) = batch.run(verb).of("denial")
        assert (line["id"], line["version"], line["reason"]) == ("opt-in", 1, "OPT_IN_IMAGE_UNREADABLE")
        text = batch.said(verb)
        assert "1 denied by a reviewer:" in text
        assert "version 1 was denied: OPT_IN_IMAGE_UNREADABLE; feedback: scan it again" in text
        assert "to do: correct the document, make a new version of the registration" in text
        assert "\x1b" not in text
    assert batch.run("verify").code == 0
    assert batch.run("why", "opt-in").item("opt-in")["since"] == complete_since
    assert "denied by a reviewer: version 1 was denied: OPT_IN_IMAGE_UNREADABLE" in batch.said("why", "opt-in")
    header, row = batch.said("report").splitlines()[:2]
    assert header.endswith(",denied_reason,feedback")
    assert ",OPT_IN_IMAGE_UNREADABLE,scan it again" in row

    batch.process.open_registration_version(registration)
    planned = batch.run("plan", "--detailed-exitcode")
    verified = batch.run("verify")
    done = batch.run("upload")

    assert (verified.code, verified.of("finding")[0]["new_version"]) == (10, 2)
    assert "the next `upload` binds it again" in verified.stderr
    assert planned.code == 3
    (action,) = planned.of("action")
    assert action["action"] == "bind"
    assert "new version (2), bound in 1" in action["reason"]
    assert (done.code, done.summary["bound"], batch.endpoint.stats().creates) == (0, 1, 1)
    assert batch.held(registration, version=2) == batch.held(registration, version=1)
    assert batch.run("status").of("denial") == []
    assert "denied" not in batch.said("status")


def test_a_denial_is_told_by_a_quiet_run_too_and_once(batch: BoundBatch) -> None:
    registration = batch.registration()
    batch.write({"opt-in": (registration, OPT_IN)})
    assert batch.said("upload", "--rate", "100", "--quiet") == ""
    batch.process.deny_registration(registration, {OPT_IN: {"reason": "UNREADABLE"}})

    first, again = (batch.run("upload", "--quiet", json=False) for _ in range(2))

    said = f"`opt-in` → `{OPT_IN}` of `{registration}`: version 1 was denied: UNREADABLE\n"
    assert [(each.code, each.stdout, each.stderr) for each in (first, again)] == [(0, "", said), (0, "", "")]


def test_only_chooses_what_is_left_to_bind_and_no_other_item_counts(batch: BoundBatch) -> None:
    registration = batch.registration()
    batch.write({"opt-in": (registration, OPT_IN), "nowhere": ("registration-nowhere", OPT_IN)})
    batch.endpoint.change(deny=[PUT_FIELD])

    denied = batch.run("upload", "--only", "opt-in", "--rate", "100")
    batch.endpoint.change(deny=[])
    status = batch.run("status")
    done = batch.run("upload", "--only", "binding")

    assert (denied.code, denied.summary["exit"]["name"]) == (22, "access")
    assert PUT_FIELD in denied.summary["exit"]["reason"] or "PutRegistrationFieldValue" in denied.stderr
    assert status.states == {"binding": 1, "pending": 1}
    assert "1 binding: `opt-in`" in batch.said("status") or done.code == 0
    assert (done.code, batch.endpoint.stats().creates) == (0, 1)
    assert done.states == {"complete": 1, "pending": 1}


def test_registrations_that_may_not_be_read_end_with_access(batch: BoundBatch) -> None:
    batch.write({"opt-in": (batch.registration(), OPT_IN)})
    batch.endpoint.change(deny=[REGISTRATIONS])

    ended = batch.run("upload")

    assert (ended.code, batch.endpoint.attachments()) == (22, [])
    assert "DescribeRegistrations" in ended.stderr
    assert batch.run("plan").code == 22


def test_without_waiting_what_is_processing_stays_so_and_what_is_ready_is_bound(batch: BoundBatch) -> None:
    registration = batch.registration()
    batch.write({"opt-in": (registration, OPT_IN)})
    batch.endpoint.change(processing_s=3_600)

    early = batch.run("upload", "--no-wait", "--rate", "100")
    held = batch.endpoint.attachments()[0]
    batch.endpoint.set_status(held["id"], "UPLOAD_COMPLETE")
    done = batch.run("upload", "--no-wait")

    assert (early.code, early.states, batch.held(registration) if done.code else {}) == (14, {"processing": 1}, {})
    assert done.code in (0, 14)
    assert batch.run("upload").code == 0
    assert list(batch.held(registration)) == [OPT_IN]
    assert batch.endpoint.stats().creates == 1


def test_what_a_field_holds_is_not_pruned_and_says_where_it_is(batch: BoundBatch) -> None:
    registration = batch.registration()
    batch.write({"opt-in": (registration, OPT_IN), "loa": None})
    assert batch.run("upload", "--rate", "100").code == 0
    batch.write({"loa": None})

    pruned = batch.run("prune", "--yes")

    assert pruned.code == 0
    (line,) = pruned.of("prune")
    assert (line["action"], line["id"]) == ("keep", "opt-in")
    assert f"`{OPT_IN}` of `{registration}`" in line["reason"]
    assert len([each for each in batch.endpoint.attachments() if each["status"] != "DELETED"]) == 2


def test_a_replaced_document_can_be_pruned_once_its_successor_is_in_the_field(batch: BoundBatch) -> None:
    registration = batch.registration()
    batch.write({"opt-in": (registration, OPT_IN)})
    assert batch.run("upload", "--rate", "100").code == 0
    before = batch.held(registration)
    (batch.folder / "opt-in.pdf").write_bytes(b"%PDF-1.7\nanother document\n%%EOF\n")

    assert batch.run("upload", "--rate", "100").code == 0
    pruned = batch.run("prune", "--yes")

    assert batch.held(registration) != before
    assert [(line["action"], line["id"]) for line in pruned.of("prune")] == [("delete", "opt-in")]
    assert pruned.code == 0


def test_a_field_that_holds_something_else_is_a_finding_and_the_next_runs_mend_it(batch: BoundBatch) -> None:
    registration = batch.registration(CAMPAIGN)
    batch.write({"terms": (registration, TERMS), "privacy": None})
    assert batch.run("upload", "--rate", "100").code == 0
    held = batch.held(registration)
    batch.write({"terms": (registration, TERMS), "privacy": (registration, TERMS + "x")})
    other = attachment_of(batch, "privacy")
    put_by_hand(batch, registration, TERMS, other)
    batch.write({"terms": (registration, TERMS), "privacy": None})

    found = batch.run("verify")
    assert found.code == 25
    (line,) = found.of("finding")
    assert (line["finding"], line["id"]) == ("not_bound", "terms")
    told = batch.said("verify")
    assert f"`terms`: `{TERMS}` of `{registration}` holds `{other}` at AWS" in told
    assert "in their fields: 0 of 1" in told

    assert batch.run("reconcile", "--yes").code == 0
    assert batch.run("status").states == {"binding": 1, "complete": 1}
    assert batch.run("upload").code == 0
    assert batch.held(registration) == held
    assert batch.run("verify").code == 0


def put_by_hand(batch: BoundBatch, registration: str, path: str, attachment_id: str) -> None:
    """Put an attachment into a field, as somebody does in the console."""
    import boto3  # heavy

    client = boto3.client(
        "pinpoint-sms-voice-v2", endpoint_url=batch.endpoint.url, region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="not-a-secret",
    )  # fmt: skip
    client.put_registration_field_value(
        RegistrationId=registration, FieldPath=path, RegistrationAttachmentId=attachment_id
    )


def test_a_deadline_before_the_registrations_are_known_ends_with_12_and_nothing_sent(batch: BoundBatch) -> None:
    batch.write({"opt-in": (batch.registration(), OPT_IN)})
    batch.endpoint.faults({"action": "throttle", "operation": REGISTRATIONS})

    ended = batch.run("upload", "--deadline", "2s")
    batch.endpoint.faults()

    assert (ended.code, batch.endpoint.attachments()) == (12, [])
    assert batch.run("upload", "--rate", "100").code == 0


def test_without_the_service_a_plan_is_of_the_ledger_alone(batch: BoundBatch) -> None:
    registration = batch.registration()
    batch.write({"opt-in": (registration, OPT_IN)})
    assert batch.run("upload", "--rate", "100").code == 0
    batch.process.deny_registration(registration, {})
    batch.process.open_registration_version(registration)
    before = batch.endpoint.stats().requests

    offline = batch.run("plan", "--offline", "--detailed-exitcode")
    assert batch.endpoint.stats().requests == before
    batch.write({"opt-in": (batch.registration(), OPT_IN)})
    changed = batch.run("plan", "--offline", "--detailed-exitcode")

    assert (offline.code, [line["action"] for line in offline.of("action")]) == (0, ["unchanged"])
    assert (changed.code, [line["action"] for line in changed.of("action")]) == (3, ["bind"])
    assert changed.of("totals")[0]["calls"] == {PUT_FIELD: 1, REGISTRATIONS: 1}
    assert "1 not in the field that the manifest names" in batch.said("status")


def test_a_bind_that_was_changed_or_added_is_done_without_an_upload_and_one_that_was_removed_leaves_the_field(
    batch: BoundBatch,
) -> None:
    campaign = batch.registration(CAMPAIGN)
    batch.write({"terms": (campaign, TERMS), "privacy": None})
    assert batch.run("upload", "--rate", "100").code == 0
    batch.write({"terms": None, "privacy": (campaign, PRIVACY)})

    planned = {line["id"]: line for line in batch.run("plan").of("action")}
    done = batch.run("upload")

    assert (planned["privacy"]["action"], planned["terms"]["action"]) == ("bind", "unchanged")
    assert f"it stays in `{TERMS}` of `{campaign}`" in planned["terms"]["reason"]
    assert (done.code, done.summary["bound"], batch.endpoint.stats().creates) == (0, 1, 2)
    assert batch.held(campaign).keys() == {TERMS, PRIVACY}


def test_an_answer_that_was_lost_leaves_the_item_binding_with_exit_10_and_the_next_run_ends_it(
    batch: BoundBatch,
) -> None:
    batch.write({"opt-in": (batch.registration(), OPT_IN)})
    batch.endpoint.faults({"action": "internal_error", "operation": PUT_FIELD})

    open_ended = batch.run("upload", "--rate", "100", "--deadline", "8s")
    text = batch.said("status")
    batch.endpoint.faults()
    done = batch.run("upload")

    assert open_ended.code in (10, 12)
    assert open_ended.states == {"binding": 1}
    assert "1 binding: `opt-in`" in text
    assert (done.code, batch.endpoint.stats().creates) == (0, 1)


@pytest.mark.parametrize("name", ["=cmd", "a b", "日本"])
def test_names_of_items_are_escaped_beside_their_fields(batch: BoundBatch, name: str) -> None:
    registration = batch.registration()
    path = batch.folder / "doc.pdf"
    path.write_bytes(pdf("doc"))
    (batch.folder / "june.yaml").write_text(
        "version: 1\nbatch: bound\ndefaults: {check: bytes}\nattachments:\n"
        f'  - {{file: doc.pdf, id: "{name}", bind: {{registration: {registration}, field: {OPT_IN}}}}}\n',
        encoding="utf-8",
    )
    batch.process.review_registration(registration, "SUBMITTED")

    assert batch.run("upload", "--rate", "100").code == 20
    assert f"`{name}` → `{OPT_IN}`" in batch.said("status")
