"""Which tests are slow: `tests/slow.txt` names no test that is gone, and is made anew from how long tests took."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.support import slow

REPORT = """<testsuites><testsuite>
<testcase classname="tests.unit.test_a" name="test_long[1]" time="0.1" />
<testcase classname="tests.unit.test_a" name="test_long[a::b[2]]" time="2.5" />
<testcase classname="tests.unit.test_a" name="test_short" time="2.0" />
<testcase classname="tests.unit.test_a.TestOrders" name="runTest" time="3.0" />
</testsuite></testsuites>"""


def test_every_name_in_the_list_is_that_of_a_test() -> None:
    known = {
        f"{path.relative_to(slow.ROOT)}::{name}"
        for path in (slow.ROOT / "tests").rglob("test_*.py")
        for name in _names_in(path)
    }

    listed = {"::".join(each.split("::")[:2]) for each in slow.named(slow.LIST.read_text(encoding="utf-8"))}
    assert listed - known == set()


def test_a_test_is_slow_whose_longest_case_takes_more_than_two_seconds(tmp_path: Path) -> None:
    report = tmp_path / "times.xml"
    report.write_text(REPORT, encoding="utf-8")
    before = frozenset({"tests/unit/test_a.py::test_short", "tests/unit/test_a.py::test_gone", "tests/b.py::test_b"})

    names = slow.renewed(before, slow.longest_s(report))

    slow_of_a = ["tests/unit/test_a.py::TestOrders::runTest", "tests/unit/test_a.py::test_long"]
    assert names == ["tests/b.py::test_b", *slow_of_a], "b was not measured, gone is gone"


def _names_in(path: Path) -> Iterator[str]:
    """Yield the functions of a module and the names that it assigns: Hypothesis makes tests by assignment."""
    for each in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            yield each.name
        elif isinstance(each, ast.Assign):
            yield from (target.id for target in each.targets if isinstance(target, ast.Name))
