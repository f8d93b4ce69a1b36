"""What docs/emulator.md says is so: every key, action and route, and its examples run."""

import ast
import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore import xform_name
from pydantic import TypeAdapter

import batch_upload.emulator
from batch_upload.emulator import (
    EmulatedAccount,
    EmulatedOrganization,
    EmulatedUnit,
    Emulator,
    EmulatorSettings,
    FaultAction,
    FaultRule,
    LaneOverlay,
    PreloadedRegistrations,
    Rate,
)
from batch_upload.emulator.faults import OPTIONAL_PARAMETERS, REQUIRED_PARAMETERS
from batch_upload.emulator.limits import DEFAULT_RATES
from batch_upload.emulator.names import OPERATIONS
from batch_upload.emulator.registration_types import REGISTRATION_TYPES, FieldKind
from batch_upload.emulator.serve import PlantedAttachment, PlantedRegistration, RegistrationReview, control_routes
from tests.support.emulator_process import ROOT
from tests.unit.emulator.support import SERVICE, ManualClock

PAGE = (ROOT / "docs" / "emulator.md").read_text(encoding="utf-8")


def rows_under(heading: str) -> list[str]:
    """The rows of the tables between a heading and the next, without their heads."""
    section = re.split(r"^#+ ", PAGE.split(f"# {heading}\n", maxsplit=1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return [line for line in section.splitlines() if line.startswith("| `")]


def key_rows(settings: Any) -> list[str]:  # noqa: ANN401 - a class that pydantic checks
    """A row for each key: its name, its default as JSON, and what the code says about it."""
    schema = TypeAdapter(settings).json_schema()
    required = schema.get("required", [])
    return [
        f"| `{key}` | {'required' if key in required else as_code(field.get('default', {}))} "
        f"| {' '.join(field['description'].split())} |"
        for key, field in schema["properties"].items()
    ]


def as_code(value: object) -> str:
    return f"`{json.dumps(value)}`"


def descriptions_of(enumeration: type) -> dict[str, str]:
    """What stands below each member in the code."""
    [definition] = ast.parse(inspect.getsource(enumeration)).body
    assert isinstance(definition, ast.ClassDef)
    described = {}
    for member, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(member, ast.Assign) and isinstance(text, ast.Expr):
            described[ast.literal_eval(member.value)] = " ".join(ast.literal_eval(text.value).split())
    return described


def test_every_setting_has_a_row_with_its_default() -> None:
    assert rows_under("Settings") == key_rows(EmulatorSettings)


def test_every_key_of_an_organization_has_a_row() -> None:
    assert rows_under("Organization") == key_rows(EmulatedOrganization)
    assert rows_under("Accounts of an organization") == key_rows(EmulatedAccount)
    assert rows_under("Units of an organization") == key_rows(EmulatedUnit)


def test_every_key_of_preloaded_registrations_has_a_row() -> None:
    assert rows_under("Preloaded registrations") == key_rows(PreloadedRegistrations)


def test_every_type_of_registration_has_a_row_with_its_fields_for_attachments() -> None:
    rows = [
        (name, ", ".join(f"`{each.path}`" for each in fields.values() if each.kind is FieldKind.ATTACHMENT) or "none")
        for name, fields in REGISTRATION_TYPES.items()
    ]

    assert rows_under("Registrations") == [f"| `{name}` | {attachments} |" for name, attachments in rows]


def test_the_keys_of_a_lane_are_the_first_of_the_settings() -> None:
    of_lanes = list(LaneOverlay.model_fields)

    assert list(EmulatorSettings.model_fields)[: len(of_lanes)] == of_lanes
    assert f"every key from `{of_lanes[0]}` to `{of_lanes[-1]}`" in PAGE


def test_every_key_of_a_rate_has_a_row() -> None:
    assert rows_under("Rates") == key_rows(Rate)


def test_every_key_of_a_fault_rule_has_a_row() -> None:
    assert rows_under("Fault rules") == key_rows(FaultRule)


def test_every_action_has_a_row_with_the_keys_that_it_takes() -> None:
    described = descriptions_of(FaultAction)

    def keys(of: frozenset[str]) -> str:
        return ", ".join(f"`{key}`" for key in sorted(of))

    assert rows_under("Actions") == [
        f"| `{action}` | {keys(REQUIRED_PARAMETERS.get(action, frozenset()))} "
        f"| {keys(OPTIONAL_PARAMETERS.get(action, frozenset()))} | {described[action]} |"
        for action in FaultAction
    ]


def test_every_operation_has_a_row_with_its_rate() -> None:
    rates = {name: rate for name, rate in re.findall(r"^\| `(\w+)` \| (\d+)/s \|", PAGE, re.MULTILINE)}

    assert rates == {name: f"{DEFAULT_RATES[name].per_second:g}" for name in OPERATIONS}


def test_every_route_of_the_control_plane_has_a_row() -> None:
    clock = ManualClock()
    routes = control_routes(Emulator(EmulatorSettings(), clock=clock), clock)

    named = [re.match(r"\| `(GET|POST) ([^`]+)` \|", row) for row in rows_under("Control plane")]

    assert [(row[1], row[2]) for row in named if row] == [(route.method, route.path) for route in routes]
    for taken in (PlantedAttachment, PlantedRegistration, RegistrationReview):
        for field in TypeAdapter(taken).json_schema()["properties"]:
            assert f"`{field}`" in PAGE


def test_every_public_name_is_on_the_page() -> None:
    missing = [name for name in batch_upload.emulator.__all__ if not re.search(rf"\b{name}\b", PAGE)]

    assert missing == []


def test_the_example_for_pytest_passes(tmp_path: Path) -> None:
    [example] = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "test_example.py").write_text(example, encoding="utf-8")

    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_example.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 0, ended.stdout
    assert "2 passed" in ended.stdout


@pytest.mark.parametrize("line", re.findall(r"^aws (.+)$", PAGE.replace("\\\n", " "), re.MULTILINE))
def test_the_commands_of_aws_have_operations_and_parameters_that_exist(line: str) -> None:
    service, command, *arguments = shlex.split(line)
    model = botocore.session.get_session().get_service_model(service)
    operations = {xform_name(name, "-"): name for name in model.operation_names}

    input_shape = model.operation_model(operations[command]).input_shape

    assert service in (SERVICE, "sts", "organizations")
    parameters = {f"--{xform_name(name, '-')}" for name in input_shape.members}
    assert {argument for argument in arguments if argument.startswith("--")} <= parameters


def test_the_settings_that_are_shown_are_settings() -> None:
    shown = re.findall(r"--settings '(\{.*?\})'", PAGE)

    assert shown
    for settings in shown:
        assert EmulatorSettings.from_json(settings) != EmulatorSettings()
