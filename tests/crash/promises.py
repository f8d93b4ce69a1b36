"""Write docs/promises.md from the list of promises and what the last long runs counted.

`python -m tests.crash.promises`, after `make soak` and `python -m tests.support.soak --write` too.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.crash.bind_promises import BINDING
from tests.crash.promise_list import CRASHES, LIBRARY, RULES, Promise
from tests.crash.shared_promises import SHARED
from tests.support.soak import PARTS, RESULTS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "promises.md"
ASSUMED = Path(__file__).with_name("assumptions.md")
HEAD = """# Promises

No attachment twice, none lost, nothing reported complete that is not, whatever crashes when. Each promise is listed
with the tests that hold it. `python -m tests.crash.promises` writes this page, and a test compares it.
"""
HOW = """## Kill points

As SQLite is tested: the command is killed (SIGKILL) at the 1st, 2nd, 3rd … point until a run ends by itself. `make
check` tries a sample of the points, `make soak` all of them and 10,000 random ones. Runs over several lanes (accounts
and Regions) are killed in the same way, and at 50 random moments with 20 lanes in flight. The test checks, in each lane

- after each kill: every attachment at the service has its intent in the ledger, and none exists twice;
- after one undisturbed run of the same command: exit 0, each item exactly once (identity tag and SHA-256), the ledger's
  ids equal to the service's, all complete, no token reused with other parameters, counts that add up;
- of manifests that bind: each put had its intent, none was ever for another field, and each field holds its document;
- after one more run: nothing was created, and nothing put into a field.

Processes that share lanes by a ledger in PostgreSQL are stopped (SIGSTOP, longer than their lease) and killed wherever
the command calls the database's driver or the SDK, and the wire to the database is cut around 1,000 COMMITs. Triggers
note each write in its own transaction. From these notes and the service's log the test checks that each write had the
lane's fence, that fences never fall and each has one holder, that commits are counted without a gap, that an intent
was committed before its request arrived, and that all processes together kept to the lane's rate.
"""
LONG = """
## Long runs

`make soak` runs these parts one after the other, `make soak PART=kills` one of them. A part that is stopped goes on
where it was; after a change of the program it begins anew. Every test has passed; two cores, Linux, Python 3.11. The
last column is the digest of the program's files, as `python -m tests.support.soak --program` prints it.
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join(
        [
            HEAD,
            *_section("Crashes", CRASHES),
            *_section("Several hosts", SHARED),
            *_section("Fields of registrations", BINDING),
            *_section("Rules", RULES),
            *_section("Library", LIBRARY),
            ASSUMED.read_text(encoding="utf-8"),
            *_matrix(),
        ]
    )


def _section(title: str, promises: Sequence[Promise]) -> Iterator[str]:
    yield f"## {title}\n"
    for promise in promises:
        yield f"- {promise.text}"
        yield from (f"  - `{test}`" for test in promise.tests)
    yield ""


def _matrix() -> Iterator[str]:
    last: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    yield HOW
    yield "| where it was killed, or what failed | script | points | took effect | result |"
    yield "|---|---|--:|--:|---|"
    for row in (row for part in last.values() for row in part["counts"]):
        yield f"| {row['kind']} | {row['script']} | {row['points']:,} | {row['kills']:,} | all held |"
    yield LONG
    yield "| part | what it does | tests | minutes | last run | program |"
    yield "|---|---|--:|--:|---|---|"
    for name, part in PARTS.items():
        if name in last:
            told = last[name]
            ran = f"{told['tests'] or ''} | {told['minutes'] or ''} | {told['date']} | {told['program']}"
            yield f"| `{name}` | {part.what} | {ran} |"
    yield ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}\n")
