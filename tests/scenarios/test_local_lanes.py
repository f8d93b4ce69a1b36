"""`--local` with a manifest of many accounts: one embedded emulator and one state file hold every lane."""

import json
from collections.abc import Iterator
from pathlib import Path

from batch_upload.operations import PUT_FIELD
from tests.support.batches import Batch, make_batch, pdf
from tests.support.fleets import make_fleet
from tests.support.preloaded import Preloaded

IMAGE, LETTER = "messagingUseCase.optInImage", "idSidSpecificInfo.letterOfAuthorization1"


def test_a_rehearsal_of_many_accounts_runs_against_one_emulator_and_is_remembered(
    command: Preloaded, tmp_path: Path
) -> None:
    fleet = make_fleet(tmp_path, accounts=3, items=2)

    first = command.run("upload", fleet.path, "--local", "--json", cwd=tmp_path)
    (tmp_path / "fleet.local.ledger").unlink()
    again = command.run("upload", fleet.path, "--local", "--json", cwd=tmp_path)

    assert (first.code, first.summary["states"]) == (0, {"complete": 12})
    assert sorted((lane["account"], lane["region"]) for lane in first.summary["lanes"]) == sorted(
        (account, region) for account in fleet.accounts.values() for region in fleet.regions
    )
    assert (again.code, again.summary["states"], again.summary["uploaded"]) == (0, {"complete": 12}, 0)
    assert list(tmp_path.glob("*.service")) == [tmp_path / "fleet.local.service"]


def held(state: Path) -> Iterator[tuple[str, str, str, str]]:
    """(account, Region, registration, field) of every attachment in a field, as the emulator's state has them."""
    last = {}
    for line in state.read_text(encoding="utf-8").splitlines()[1:]:
        change = json.loads(line)
        if change["change"] == "registration":
            one = change["registration"]
            last[one["account"], one["region"], one["registration_id"]] = one
    for key, one in last.items():
        for path, value in one["versions"][-1]["values"].items():
            assert value["attachment_id"]
            yield (*key, path)


def test_a_rehearsal_has_the_registrations_of_every_lane_and_keeps_them(command: Preloaded, tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, accounts=2, items=2)
    manifest = json.dumps(
        {
            "version": 1,
            "batch": "rehearsal",
            "targets": {
                "list": [
                    {"name": name, "account": account, "regions": list(fleet.regions)}
                    for name, account in fleet.accounts.items()
                ]
            },
            "defaults": {"target": "all"},
            "attachments": [
                {"file": "image.pdf", "bind": {"registration": "registration-{target}", "field": IMAGE}},
                {"file": "letter.pdf", "bind": {"registration": "registration-{region}", "field": LETTER}},
            ],
        }
    )
    (tmp_path / "bound.yaml").write_text(manifest, encoding="utf-8")
    for name in ("image", "letter"):
        (tmp_path / f"{name}.pdf").write_bytes(pdf(name))

    planned = command.run("plan", "bound.yaml", "--local", cwd=tmp_path)
    first = command.run("upload", "bound.yaml", "--local", "--json", cwd=tmp_path)
    again = command.run("upload", "bound.yaml", "--local", "--json", cwd=tmp_path)

    assert (planned.code, first.code, again.code) == (0, 0, 0), planned.stderr + first.stderr + again.stderr
    assert (first.summary["states"], again.summary["states"]) == ({"complete": 8}, {"complete": 8})
    assert first.summary["requests"][PUT_FIELD] == 8
    assert PUT_FIELD not in again.summary["requests"]
    assert sorted(held(tmp_path / "bound.local.service")) == sorted(
        (account, region, registration, field)
        for name, account in fleet.accounts.items()
        for region in fleet.regions
        for registration, field in ((f"registration-{name}", IMAGE), (f"registration-{region}", LETTER))
    )


def test_a_rehearsal_of_one_lane_binds_and_finds_a_field_that_cannot_be(command: Preloaded, tmp_path: Path) -> None:
    batch = make_batch(tmp_path, 1)
    bind(batch, "messagingUseCase.optInImages")
    wrong = command.run("upload", batch.manifest, "--local", cwd=tmp_path)
    bind(batch, LETTER)
    right = command.run("upload", batch.manifest, "--local", cwd=tmp_path)

    assert (wrong.code, right.code) == (21, 0), wrong.stderr + right.stderr
    assert "messagingUseCase.optInImages" in wrong.stderr
    assert [path for *_, path in held(tmp_path / "june.local.service")] == [LETTER]


def bind(batch: Batch, field: str) -> None:
    """Bind every item of a batch of one to a field."""
    head = batch.path.read_text(encoding="utf-8").partition("    bind:")[0]
    batch.path.write_text(f"{head}    bind: {{registration: registration-1, field: {field}}}\n", encoding="utf-8")
