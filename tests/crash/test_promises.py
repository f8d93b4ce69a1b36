"""docs/promises.md: as it is made, and every test that it names is there."""

import ast
from functools import cache

import pytest

from tests.crash.bind_promises import BINDING
from tests.crash.promise_list import CRASHES, LIBRARY, RULES, Promise
from tests.crash.promises import PAGE, ROOT, page
from tests.crash.shared_promises import SHARED


def test_the_page_is_what_is_made_from_the_list_and_the_last_full_run() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize(
    "promise", [*CRASHES, *SHARED, *BINDING, *RULES, *LIBRARY], ids=lambda promise: promise.text[:40]
)
def test_every_test_that_holds_a_promise_is_there(promise: Promise) -> None:
    assert promise.tests
    for test in promise.tests:
        path, _, name = test.partition("::")
        assert name in _tests_of(path), test


def test_every_rule_of_the_design_has_its_promise() -> None:
    design = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    rules = design.partition("## Rules\n")[2].partition("\n## ")[0]
    numbers = [line.partition(".")[0] for line in rules.splitlines() if line[:1].isdigit()]

    assert [promise.text.partition(".")[0] for promise in RULES] == numbers


@cache
def _tests_of(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(each.name for each in functions)
