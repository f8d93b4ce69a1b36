"""The long proofs, in parts of less than two hours on two cores, each of which goes on where it was stopped.

`make soak` runs what is still to be done of every part, `make soak PART=kills` of one. What has passed is noted in
`.soak/`, for the program as it is: once a file of `batch_upload/` has changed, everything is to be done again.
`python -m tests.support.soak --write` puts the parts that are complete into `tests/crash/soak.json`, which
docs/promises.md is made from.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
NOTES: Final = ".soak"
RESULTS: Final = ROOT / "tests" / "crash" / "soak.json"
NOTE_FILE: Final = "BATCH_UPLOAD_TESTS_SOAK_NOTES"
"""Names the file that tests and their counts are noted in, a JSON object a line."""
PYTEST: Final = (sys.executable, "-m", "pytest", "-m", "soak", "-p", "no:cacheprovider", "-q")
SUMMARY: Final = "The long proofs, in parts of less than two hours, each of which goes on where it was stopped."
CRASH: Final = "tests/crash/test_"
SCENARIOS: Final = "tests/scenarios/test_"


@dataclass(frozen=True, slots=True)
class Part:
    """Some files of long tests, which run side by side."""

    what: str
    files: Sequence[str]
    workers: int = 2
    """Processes that run tests; 0: one after the other, for tests that look at the clock. More than cores where a test
    mostly waits."""


PARTS: Final[Mapping[str, Part]] = {
    "system-calls": Part(
        "killed at every system call; every failing disk call",
        [f"{CRASH}{name}.py" for name in ("system_calls", "file_system")],
        workers=6,
    ),
    "kills": Part(
        "killed at every callback and named step",
        [f"{CRASH}{name}.py" for name in ("callbacks", "steps", "bind", "prune", "retag", "retry")],
        workers=6,
    ),
    "random-kills": Part(
        "10,000 kills at random moments under storms; 50 with 20 lanes in flight; 20 while binding",
        [f"{CRASH}{name}.py" for name in ("campaign", "bind_campaign")],
    ),
    "storms": Part(
        "2,500 storms, a day at one call a second, and long orders of faults in virtual time; 300 mixes of everything",
        [f"{CRASH}{name}.py" for name in ("simulation", "machine", "bind_machine", "mixes")],
    ),
    "hosts": Part(
        "stopped and killed at every place with a ledger in PostgreSQL; 1,000 wires cut at a COMMIT; workers killed",
        [f"{CRASH}{name}.py" for name in ("stopped_controllers", "cut_wire", "fleet")] + [f"{SCENARIOS}fleet.py"],
    ),
    "surroundings": Part(
        "outputs that take nothing, resources that run out, each way to install it",
        [
            f"{SCENARIOS}{name}.py"
            for name in ("outputs", "resources", "install", "deploy_docker", "prune", "unreached")
        ],
    ),
    "long-runs": Part(
        "20,000 items with 2 % of each fault; 200 lanes for an hour: memory, descriptors, threads and tasks stay",
        [f"{SCENARIOS}long_runs.py"],
    ),
    "pace": Part(
        "2,400 buckets; many lanes over HTTP; the end of a run foretold",
        ["tests/unit/pacing/test_learned_in_simulation.py", f"{SCENARIOS}many_lanes.py", f"{SCENARIOS}pace.py"],
        workers=0,
    ),
}


@dataclass(slots=True)
class Notes:
    """What is noted of one part, for one state of the program."""

    seconds: dict[str, float] = field(default_factory=dict)
    """Of each test that has passed: how long it took."""
    counts: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """Points and kills, as `record` of kill_ground.py tells them, by what was killed and its script."""
    wall_s: float = 0.0
    """How long pytest ran, all attempts together."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is to be done, or write down what was. Return 1 if a test failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.soak", description=SUMMARY)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--write", action="store_true", help="write the complete parts into tests/crash/soak.json")
    parser.add_argument("--program", action="store_true", help="print the digest of the program's files")
    parsed = parser.parse_args(arguments)
    chosen = {name: PARTS[name] for name in parsed.parts or PARTS}
    if parsed.program:
        sys.stdout.write(f"{program()}\n")
        return 0
    if parsed.write:
        write(chosen)
        return 0
    codes = [run(name, part) for name, part in chosen.items()]
    sys.stdout.write(table(chosen))
    return int(any(codes))


def run(name: str, part: Part, root: Path = ROOT) -> int:
    """Run the tests of a part that have not passed yet. Return pytest's exit code, 0 where none is left."""
    notes, noted_in = read(name, root), _file(name, root)
    wanted = collected(part, root)
    todo = [test for test in wanted if test not in notes.seconds]
    sys.stdout.write(f"{name}: {len(wanted) - len(todo)} of {len(wanted)} tests have passed before\n")
    sys.stdout.flush()
    if not todo:
        return 0
    noted_in.parent.mkdir(exist_ok=True)
    tests = noted_in.with_suffix(".tests")
    tests.write_text("\n".join(todo) + "\n", encoding="utf-8")
    workers = [f"--numprocesses={part.workers}", "--dist=worksteal"] if part.workers else []
    began_s = time.monotonic()
    try:
        return subprocess.run(
            [*PYTEST, "-p", "tests.support.soak_notes", *workers, f"@{tests}"],
            cwd=root,
            env={**os.environ, "PYTHONPATH": str(ROOT), NOTE_FILE: str(noted_in)},
            check=False,
        ).returncode
    finally:
        _append(noted_in, {"wall_s": time.monotonic() - began_s})


def collected(part: Part, root: Path = ROOT) -> list[str]:
    """Return the ids of the long tests of a part, as pytest tells them."""
    asked = [*PYTEST, "--collect-only", *part.files]
    done = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "::" in line]


def read(name: str, root: Path = ROOT) -> Notes:
    """Return what is noted of a part and the program as it is."""
    notes = Notes()
    path = _file(name, root)
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        noted = json.loads(line)
        if "passed" in noted:
            notes.seconds[noted["passed"]] = noted["seconds"]
        elif "wall_s" in noted:
            notes.wall_s += noted["wall_s"]
        else:
            notes.counts[noted["kind"], noted["script"]] = noted
    return notes


def table(parts: Mapping[str, Part], root: Path = ROOT) -> str:
    """Return a line for each part: what has passed, of how much, and in how many minutes."""
    lines = []
    for name, part in parts.items():
        notes, wanted = read(name, root), len(collected(part, root))
        done = f"{len(notes.seconds):5} of {wanted:5} passed, {notes.wall_s / 60:4.0f} min"
        lines.append(f"{name:14} {done}: {part.what}\n")
    return "".join(lines)


def write(parts: Mapping[str, Part], root: Path = ROOT) -> None:
    """Put each of these parts that is complete into the kept results, in place of what they held of it."""
    results = root / RESULTS.relative_to(ROOT)
    kept: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))
    for name, part in parts.items():
        notes, wanted = read(name, root), collected(part, root)
        left = set(wanted) - set(notes.seconds)
        if left:
            sys.stdout.write(f"{name}: left as it is, {len(left)} tests have not passed\n")
            continue
        kept[name] = {
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "program": program(root),
            "tests": len(wanted),
            "minutes": round(notes.wall_s / 60),
            "counts": [counted for _, counted in sorted(notes.counts.items())],
        }
        sys.stdout.write(f"{name}: written\n")
    results.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def program(root: Path = ROOT) -> str:
    """Return the digest of all that uploads: the names and contents of `batch_upload/`'s modules."""
    digest = sha256()
    for path in sorted((root / "batch_upload").rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def note(noted: Mapping[str, Any]) -> None:
    """Add a line to the notes of the part that is running; nothing where none is."""
    named = os.environ.get(NOTE_FILE)
    if named:
        _append(Path(named), noted)


def _append(path: Path, noted: Mapping[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as notes:
        notes.write(json.dumps(noted) + "\n")  # one write: processes append side by side


def _file(name: str, root: Path) -> Path:
    return root / NOTES / f"{name}-{program(root)}.jsonl"


if __name__ == "__main__":
    sys.exit(main())
