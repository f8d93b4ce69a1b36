"""What the program is made of: pins, their bill of materials, licences, and known vulnerabilities."""

import json
import re
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from license_expression import get_spdx_licensing
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from referencing import Registry, Resource

from tests.support import audit
from tests.support.dependencies import INSTALLS, READ, REQUIREMENTS, declared, dependencies, pins
from tests.support.distributions import complete
from tests.support.emulator_process import ROOT
from tests.support.licences import COPYLEFT_TAKEN, PAGE, PERMISSIVE, page
from tests.support.sbom import bill

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
LOWEST = "lowest"


@pytest.mark.parametrize("path", sorted(REQUIREMENTS.glob("*.txt")), ids=lambda path: path.name)
def test_every_pin_has_its_hashes_and_no_file_names_an_index(path: Path) -> None:
    found = pins(path.stem)

    assert len(found) == len({(pin.name, pin.marker) for pin in found})
    assert [pin.name for pin in found if not pin.hashes] == []
    assert "://" not in path.read_text(encoding="utf-8")
    assert "--index" not in path.read_text(encoding="utf-8")


def test_the_bill_lists_exactly_the_pins_with_their_hashes() -> None:
    lines = (REQUIREMENTS / f"{INSTALLS[-1]}.txt").read_text(encoding="utf-8").splitlines()
    pinned = {re.sub(r"[ ;\\].*", "", re.sub(r"\[.*\]", "", line)) for line in lines if line[:1].isalnum()}
    hashed = {found for line in lines for found in re.findall(r"--hash=sha256:(\w+)", line)}

    components = bill()["components"]

    assert {f"{each['name']}=={each['version']}" for each in components} == pinned
    assert {each["content"] for component in components for each in component["hashes"]} == hashed
    required = {each["name"] for each in components if each["scope"] == "required"}
    assert required == {pin.name for pin in pins("runtime")}


def test_the_bill_is_valid_cyclonedx_and_the_same_each_time(tmp_path: Path) -> None:
    folder = files("cyclonedx.schema._res")
    names = ("bom-1.6", "spdx", "jsf-0.82")
    schemas = [json.loads(folder.joinpath(f"{name}.SNAPSHOT.schema.json").read_text("utf-8")) for name in names]
    registry: Registry[Any] = Registry().with_resources((each["$id"], Resource.from_contents(each)) for each in schemas)

    command = [sys.executable, "-m", "tests.support.sbom", "-o"]
    complete(*command, tmp_path / "new" / "first.json", cwd=ROOT)
    complete(*command, tmp_path / "second.json", cwd=ROOT)

    first = (tmp_path / "new" / "first.json").read_bytes()
    assert first == (tmp_path / "second.json").read_bytes()
    assert list(Draft7Validator(schemas[0], registry=registry).iter_errors(json.loads(first))) == []


def test_everything_in_the_bill_is_there_because_something_needs_it() -> None:
    document = bill()
    ours = document["metadata"]["component"]["bom-ref"]
    needs = {each["ref"]: each["dependsOn"] for each in document["dependencies"]}

    reached, waiting = set[str](), [ours]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting.extend(needs[ref])

    assert reached == {ours, *(each["bom-ref"] for each in document["components"])} == needs.keys()
    wanted = {Requirement(each).name for each in _ranges()}
    assert {ref.removeprefix("pkg:pypi/").partition("@")[0] for ref in needs[ours]} == wanted


def test_licences_are_listed_as_they_are() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_no_licence_is_a_surprise() -> None:
    licensing = get_spdx_licensing()

    for each in dependencies():
        expression = licensing.parse(each.licence, validate=True)
        if each.name not in COPYLEFT_TAKEN:
            assert {symbol.key for symbol in expression.symbols} <= PERMISSIVE, each
        else:
            assert (each.licence, each.install) == ("LGPL-3.0-only", "fleet"), each


def test_a_licence_was_read_by_a_person_only_where_the_package_does_not_say_it_plainly() -> None:
    found = {each.name for each in dependencies()}

    assert READ.keys() <= found
    for name in READ.keys() & found:
        told = declared(name)
        assert not told or " " in told[0] or told[0] in {"BSD", READ[name]} or "::" in told[0], (name, told)


def test_the_ranges_and_what_is_pinned_are_of_the_same_packages() -> None:
    pinned = {pin.name: Version(pin.version) for pin in pins(INSTALLS[-1])}

    for requirement in map(Requirement, _ranges()):
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_each_lower_bound_is_the_version_that_was_tried() -> None:
    tried = {pin.name: Version(pin.version) for pin in pins(LOWEST)}

    for requirement in map(Requirement, _ranges()):
        (specifier,) = requirement.specifier
        assert specifier.operator == ">=", requirement
        assert tried[canonicalize_name(requirement.name)] == Version(specifier.version), requirement


@contextmanager
def _knowing(vulnerable: dict[str, str]) -> Iterator[list[str]]:
    """Answer as OSV does, on loopback: an identity for each name of a package that has a vulnerability."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            name = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
            affected = {"package": {"name": name, "ecosystem": "PyPI"}}
            events = [{"introduced": "0"}, {"fixed": "99.1"}]
            fixed = {**affected, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
            vulnerabilities = (
                [{"id": vulnerable[name], "summary": "bad", "affected": [fixed]}] if name in vulnerable else []
            )
            body = json.dumps({"vulns": vulnerabilities} if vulnerabilities else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield ["--vulnerability-service", "osv", "--osv-url", f"http://127.0.0.1:{server.server_port}/v1/query"]
        finally:
            server.shutdown()
            thread.join()


def test_the_audit_names_a_pin_with_a_known_vulnerability_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    with _knowing({"pillow": "GHSA-test-0001"}) as flags:
        code = audit.main(flags)

    (pillow,) = (pin for pin in pins("runtime") if pin.name == "pillow")
    assert capsys.readouterr().out == f"audit: pillow {pillow.version}: GHSA-test-0001, fixed in 99.1\n"
    assert code == 1


def test_the_audit_passes_where_nothing_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with _knowing({}) as flags:
        code = audit.main(flags)

    assert re.fullmatch(r"audit: no known vulnerability in \d{2} packages\n", capsys.readouterr().out)
    assert code == 0


def test_the_audit_is_left_out_with_the_reason_where_there_is_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    code = audit.main(["--vulnerability-service", "osv", "--osv-url", "http://127.0.0.1:9/v1/query"])

    assert capsys.readouterr().out.startswith("audit: left out, vulnerabilities cannot be asked for here: ")
    assert code == 0


def _ranges() -> list[str]:
    extras = PROJECT["optional-dependencies"]
    return [*PROJECT["dependencies"], *extras["fleet"], *extras["dask"]]
