"""`upload` killed while it puts attachments into fields: before and after each write, each request and each answer.

Whatever was killed when, no field ever gets a wrong attachment, the next run puts each into its field, and a rerun puts
nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest

from batch_upload.operations import CREATE, PUT_FIELD
from tests.support.batches import IDENTITY_TAG, token_of
from tests.support.invariants import assert_nothing_is_wrong_yet, assert_settled
from tests.support.kill_ground import Ground, Site, killed_or_clean, record
from tests.support.kill_points import Kill, spread

TYPE = "US_TEN_DLC_CAMPAIGN_REGISTRATION"
FIELDS = ("campaignInfo.optInScreenshot", "campaignInfo.privacyPolicyFile")


@dataclass(frozen=True, slots=True)
class BindSite:
    """A site whose items are to be bound: `fields` are registration and field, by the item's token."""

    site: Site
    fields: Mapping[str, tuple[str, str]]

    def attachments_by_token(self) -> dict[str, str]:
        return {each["tags"][IDENTITY_TAG]: each["id"] for each in self.site.endpoint.attachments()}

    def assert_no_wrong_put(self) -> None:
        """Every attachment that was ever put into a field is that of the item that is bound to it."""
        ids = self.attachments_by_token()
        right = {field: ids.get(token) for token, field in self.fields.items()}
        for registration in self.site.endpoint.registrations():
            for version in registration["versions"]:
                for put in version["puts"]:
                    assert put["RegistrationAttachmentId"] == right[registration["id"], put["FieldPath"]]

    def assert_bound(self) -> None:
        """Every field of a current version holds the attachment of its item."""
        held = {
            (registration["id"], path): value["RegistrationAttachmentId"]
            for registration in self.site.endpoint.registrations()
            for path, value in registration["versions"][-1]["values"].items()
        }
        ids = self.attachments_by_token()
        assert held == {field: ids[token] for token, field in self.fields.items()}

    def settle(self) -> None:
        """Look at what a crash left, run once more in quiet, and once again: nothing is sent or put anywhere then."""
        endpoint = self.site.endpoint
        assert_nothing_is_wrong_yet(endpoint, self.site.batch.ledger)
        self.assert_no_wrong_put()
        endpoint.faults()
        assert_settled(endpoint, self.site.batch, self.site.upload().result)
        self.assert_no_wrong_put()
        self.assert_bound()
        sent = endpoint.stats().requests
        again = self.site.upload().result
        assert again.code == 0, again.stderr
        assert [endpoint.stats().requests[each] for each in (CREATE, PUT_FIELD)] == [sent[CREATE], sent[PUT_FIELD]]


def new_site(ground: Ground, items: int) -> BindSite:
    """A site with so many items, two for each registration."""
    site = ground.site(items)
    prefix = f"registration-{site.endpoint.account}"
    fields: dict[str, tuple[str, str]] = {}
    lines: list[str] = []
    for number, (name, content) in enumerate(site.batch.documents.items()):
        field = (f"{prefix}-{number // 2}", FIELDS[number % 2])
        fields[token_of(name, content)] = field
        lines += [f'  - file: "{name}"', f"    bind: {{registration: {field[0]}, field: {field[1]}}}"]
    for registration in sorted({registration for registration, _ in fields.values()}):
        site.endpoint.plant_registration(registration, TYPE)
    head, _, _ = site.batch.path.read_text(encoding="utf-8").partition("attachments:\n")
    site.batch.path.write_text("\n".join([f"{head}attachments:", *lines, ""]), encoding="utf-8")
    return BindSite(site, fields)


def unanswered(ground: Ground, items: int) -> BindSite:
    """The same, and some requests to bind are done and not answered, or throttled."""
    made = new_site(ground, items)
    made.site.endpoint.faults(
        {"action": "throttle", "operation": PUT_FIELD, "times": 1},
        {"action": "drop_after", "operation": PUT_FIELD, "times": 2},
    )
    return made


def in_new_version(ground: Ground, items: int) -> BindSite:
    """A site whose items were bound, and whose registrations were denied and have a new version."""
    made = new_site(ground, items)
    assert made.site.upload().code == 0
    for registration in {registration for registration, _ in made.fields.values()}:
        made.site.endpoint.deny_registration(registration, {FIELDS[0]: {"reason": "too blurred"}})
        made.site.endpoint.open_registration_version(registration)
    return made


SCRIPTS: Mapping[str, Callable[[Ground], BindSite]] = {
    "1 item, bound": lambda ground: new_site(ground, 1),
    "3 items, bound to 2 registrations": lambda ground: new_site(ground, 3),
    "2 items, bound, throttled, then done twice without an answer": lambda ground: unanswered(ground, 2),
    "2 items, bound again in a new version": lambda ground: in_new_version(ground, 2),
}
SAMPLES = dict(zip(SCRIPTS, (4, 3, 2, 2), strict=True))
OF_BINDING = ("intend_bind", "put_field", "conclude_bind")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_kill_before_or_after_a_step_of_binding_puts_nothing_into_a_wrong_field(ground: Ground, script: str) -> None:
    names = names_of_steps(ground, script)
    chosen = [at for at, name in enumerate(names, 1) if name.partition(" ")[2] in OF_BINDING]

    kills = sum(_kill(ground, script, "step", chosen[at - 1]) for at in spread(len(chosen), SAMPLES[script]))

    assert {names[at - 1] for at in chosen} >= {f"{when} {name}" for when in ("before", "after") for name in OF_BINDING}
    assert kills >= SAMPLES[script] // 2


@pytest.mark.soak
@pytest.mark.parametrize("kind", ["step", "callback"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_run_that_binds_is_killed_at_every_single_point(ground: Ground, script: str, kind: str) -> None:
    at = 1
    while _kill(ground, script, kind, at):
        at += 1

    named = {"step": "named step", "callback": "callback of the event loop"}
    record(named[kind], script, points=at - 1, kills=at - 1)


@pytest.mark.parametrize("number", [1, 2])
def test_a_kill_while_a_field_has_it_and_no_answer_has_left_puts_it_there_again_at_most(
    ground: Ground, number: int
) -> None:
    made = new_site(ground, 3)
    made.site.endpoint.faults({"action": "hang", "operation": PUT_FIELD, "after": number - 1, "times": 1, "done": True})
    with made.site.uploading() as process:
        made.site.endpoint.wait_until(lambda: len(puts_of(made)) >= number, "nothing was put into a field")
        process.kill()
        process.wait()

    made.settle()

    assert made.site.endpoint.stats().requests[CREATE] == 3
    assert len(puts_of(made)) <= 4


def puts_of(made: BindSite) -> list[object]:
    """What was put into fields, in any order."""
    versions = [version for each in made.site.endpoint.registrations() for version in each["versions"]]
    return [put for version in versions for put in version["puts"]]


def names_of_steps(ground: Ground, script: str) -> list[str]:
    """The names of the steps of a run that is not killed, in order."""
    made = SCRIPTS[script](ground)
    clean = made.site.upload(kill=Kill("step"))
    assert clean.code == 0, clean.result.stderr
    return list(clean.names)


def _kill(ground: Ground, script: str, kind: str, at: int) -> bool:
    made = SCRIPTS[script](ground)
    killed = killed_or_clean(made.site.upload(kill=Kill(kind, at)))
    made.settle()
    return killed
