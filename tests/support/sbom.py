"""The software bill of materials: `python -m tests.support.sbom -o FILE` writes it as CycloneDX 1.6, in JSON.

It is made of the pins alone: no time, no random number, so the same pins give the same file. `scope` is `required`
for what the program needs, `optional` for what only an extra brings.
"""

import argparse
import json
import sys
import tomllib
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.dependencies import Dependency, dependencies
from tests.support.emulator_process import ROOT

_NAMESPACE = uuid.UUID("2f0f5a3e-6c0b-5d5e-9d0a-1a4b0c7d3e21")
"""A random number of our own: serial numbers of other programs' bills are never the same as ours."""


def bill() -> dict[str, Any]:
    """Return the document."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = dependencies()
    ours = f"pkg:pypi/{project['name']}@{project['version']}"
    components = [_component(each) for each in found]
    needs = {ours: sorted(each.purl for each in found if each.is_direct)}
    for each in found:
        needs[each.purl] = sorted(other.purl for other in found if each.name in other.needed_by)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, json.dumps([ours, components]))}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": ours,
                "name": project["name"],
                "version": project["version"],
                "description": project["description"],
                "licenses": [{"expression": project["license"]}],
                "purl": ours,
            }
        },
        "components": components,
        "dependencies": [{"ref": ref, "dependsOn": on} for ref, on in needs.items()],
    }


def _component(dependency: Dependency) -> dict[str, Any]:
    properties = [{"name": "batch-upload:install", "value": dependency.install}]
    if dependency.marker:
        properties.append({"name": "batch-upload:marker", "value": dependency.marker})
    return {
        "type": "library",
        "bom-ref": dependency.purl,
        "name": dependency.name,
        "version": dependency.version,
        "scope": "required" if dependency.install == "runtime" else "optional",
        # one for each file of the release: wheels of platforms, and the sdist
        "hashes": [{"alg": "SHA-256", "content": each} for each in sorted(dependency.hashes)],
        "licenses": [{"expression": dependency.licence}],
        "purl": dependency.purl,
        "properties": properties,
    }


def main(arguments: Sequence[str]) -> None:
    """Write the bill to the file that is named, or to standard output."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.sbom", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, help="default: standard output")
    output = parser.parse_args(arguments).output
    text = json.dumps(bill(), indent=2) + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
