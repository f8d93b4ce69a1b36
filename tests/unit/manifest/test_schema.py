"""The JSON Schema: as it is published, and of one mind with the reader."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from batch_upload.errors import ManifestInvalid
from batch_upload.manifest.reader import read_manifest
from batch_upload.manifest.schema import ManifestModel, manifest_schema

ROOT = Path(__file__).parents[3]
GOOD = [ROOT / "manifests" / "demo.yaml", *sorted((ROOT / "manifests" / "examples").glob("*.yaml"))]
TELLABLE = {
    "unknown-key", "missing-key", "wrong-type", "empty-value", "empty-list", "control-character", "version", "batch",
    "generation", "max-size", "identity-tag", "region", "account", "role-arn", "url", "no-source", "several-sources",
    "id-on-glob", "id", "tag-reserved", "empty-manifest", "form", "pixels",
}  # fmt: skip
"""What a schema can tell by itself."""


class EditorLoader(yaml.BaseLoader):
    """Takes whole numbers, truths and nothing for what they are, as editors do, and the rest for text."""


EditorLoader.yaml_implicit_resolvers = {}
for tag, pattern, first in (
    ("tag:yaml.org,2002:int", r"-?(0|[1-9][0-9]*)", "-0123456789"),
    ("tag:yaml.org,2002:bool", r"true|false", "tf"),
    ("tag:yaml.org,2002:null", r"~|", ["~", ""]),
):
    EditorLoader.add_implicit_resolver(tag, re.compile(f"(?:{pattern})$"), list(first))
EditorLoader.add_constructor("tag:yaml.org,2002:int", lambda _loader, node: int(node.value))
EditorLoader.add_constructor("tag:yaml.org,2002:bool", lambda _loader, node: node.value == "true")
EditorLoader.add_constructor("tag:yaml.org,2002:null", lambda _loader, _node: None)


def tree(path: Path) -> object:
    return yaml.load(path.read_bytes(), EditorLoader)  # noqa: S506  builds nothing but plain values


def codes(path: Path) -> set[str]:
    return set(re.findall(r"^# expect: \S+ (\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE))


def bad() -> list[Path]:
    found = sorted((ROOT / "manifests" / "invalid").glob("*.yaml"))
    return [path for path in found if codes(path) and codes(path) <= TELLABLE]


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_what_the_reader_takes_the_schema_takes(path: Path) -> None:
    ManifestModel.model_validate(tree(path))


@pytest.mark.parametrize("path", bad(), ids=lambda path: path.stem)
def test_what_the_reader_refuses_the_schema_refuses(path: Path) -> None:
    with pytest.raises(ValidationError):
        ManifestModel.model_validate(tree(path))


def test_the_published_schema_is_the_one_that_is_made() -> None:
    published = (ROOT / "docs" / "manifest.schema.json").read_text(encoding="utf-8")

    assert published == json.dumps(manifest_schema(), indent=2, ensure_ascii=False) + "\n"


def test_every_property_is_described() -> None:
    schema = manifest_schema()

    for mapping in (schema, *schema["$defs"].values()):
        assert mapping["additionalProperties"] is False
        for name, value in mapping["properties"].items():
            assert "description" in value or "$ref" in value, name


def test_keys_of_tags_are_checked_by_their_names() -> None:
    tags = manifest_schema()["$defs"]["FileEntryModel"]["properties"]["tags"]

    assert tags["propertyNames"]["maxLength"] == 128
    assert "patternProperties" not in json.dumps(manifest_schema())


ARN = "arn:aws:sms-voice:us-east-1:111122223333:registration/registration-0123abcd"


@pytest.mark.parametrize(
    ("bind", "is_good"),
    [
        ({"registration": "registration-0123abcd", "field": "messagingUseCase.optInImage"}, True),
        ({"registration": ARN, "field": "a_b.c1"}, True),
        ({"registration": "{col:Registration}", "field": "{stem}.file"}, True),
        ({"registration": 12, "field": "campaignInfo.optInScreenshot"}, True),
        ({"registration": "registration 1", "field": "a.b"}, False),
        ({"registration": ARN.replace("registration/", "pool/"), "field": "a.b"}, False),
        ({"registration": "registration-1", "field": "a/b"}, False),
        ({"registration": "registration-1", "field": ""}, False),
        ({"registration": "registration-1"}, False),
        ({"registration": "registration-1", "field": "a.b", "version": 2}, False),
        ("registration-1/a.b", False),
        ({}, False),
    ],
)
def test_a_bind_is_what_the_reader_takes(bind: object, *, is_good: bool, tmp_path: Path) -> None:
    manifest = {"version": 1, "batch": "b", "attachments": [{"url": "s3://bucket/a.png", "bind": bind}]}
    path = tmp_path / "june.yaml"
    path.write_text(json.dumps(manifest).replace("{col:Registration}", "{id}"), encoding="utf-8")

    def is_taken(take: Callable[[], object]) -> bool:
        try:
            take()
        except (ValidationError, ManifestInvalid):
            return False
        return True

    assert is_taken(lambda: ManifestModel.model_validate(manifest)) == is_good
    assert is_taken(lambda: read_manifest(path)) == is_good
