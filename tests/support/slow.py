"""Which tests `make test` leaves out: `tests/slow.txt` names each function of which a case takes more than 2 seconds.

`make check` runs them all. To name them anew after a run on a machine that does nothing else:

    make check TIMES=times.xml
    python -m tests.support.slow times.xml
"""

import argparse
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

ROOT: Final = Path(__file__).resolve().parents[2]
LIST: Final = ROOT / "tests" / "slow.txt"
LIMIT_S: Final = 2.0
"""What a test may take, in seconds, with two workers a core: without longer ones `make test` ends within eight minutes
on two cores."""


def named(text: str) -> frozenset[str]:
    """Return the functions that a list names, as pytest does: `tests/unit/test_clock.py::test_a`."""
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))


def function_of(test: str) -> str:
    """Return the function of a test by pytest's name of it, which ends with the parameters."""
    return test.partition("[")[0]


def longest_s(report: Path) -> dict[str, float]:
    """Return how long the longest case of each function took, by a JUnit report of pytest, in seconds.

    Raises ElementTree.ParseError where it is none.
    """
    taken: dict[str, float] = defaultdict(float)
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest's own
        parts = case.get("classname", "").split(".")
        depth = next((number for number, part in enumerate(parts, 1) if part.startswith("test_")), len(parts))
        function = "::".join(["/".join(parts[:depth]) + ".py", *parts[depth:], function_of(case.get("name", ""))])
        taken[function] = max(taken[function], float(case.get("time", "0")))
    return taken


def renewed(before: frozenset[str], taken: Mapping[str, float]) -> list[str]:
    """Return the list anew: the slow functions of the files that were measured, and what it named in other files."""
    measured = {function.partition("::")[0] for function in taken}
    kept = {function for function in before if function.partition("::")[0] not in measured}
    return sorted(kept | {function for function, seconds in taken.items() if seconds > LIMIT_S})


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the list anew from reports."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.slow", description="Name the slow tests anew.")
    parser.add_argument("reports", nargs="+", type=Path, metavar="REPORT", help="of pytest's --junit-xml")
    taken: dict[str, float] = {}
    for report in parser.parse_args(arguments).reports:
        taken |= longest_s(report)
    names = renewed(named(LIST.read_text(encoding="utf-8")), taken)
    LIST.write_text("\n".join(["# made by tests/support/slow.py", *names, ""]), encoding="utf-8")
    sys.stdout.write(f"{len(names)} slow tests\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
