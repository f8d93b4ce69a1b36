"""Known vulnerabilities of the pins, by pip-audit: `make audit`, or `python -m tests.support.audit [ITS FLAGS]`.

Ends with 1 if a pin has one. Not every package index knows vulnerabilities, and a machine may be offline: one pin is
asked for first, and if that brings no answer, the reason is printed and the audit is left out with exit code 0.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.dependencies import INSTALLS, REQUIREMENTS, Dependency, pins

PINS = REQUIREMENTS / f"{INSTALLS[-1]}.txt"
TIMEOUT_S = 600.0


def main(flags: Sequence[str]) -> int:
    """Print what is known of the pins, or why that cannot be found out; return the exit code."""
    first = next(pin for pin in pins(INSTALLS[-1]) if not pin.marker)
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "requirements.txt"
        alone.write_text(_pinned(first), encoding="utf-8")
        answer, reason = _ask(alone, flags)
    reason = reason or next((each["skip_reason"] for each in answer if "skip_reason" in each), "")
    if reason:
        sys.stdout.write(f"audit: left out, vulnerabilities cannot be asked for here: {reason}\n")
        return 0

    answer, reason = _ask(PINS, flags)
    reasons = [reason, *(f"{each['name']}: {each['skip_reason']}" for each in answer if "skip_reason" in each)]
    lines = [*_found(answer), *(f"audit: not known: {each}" for each in reasons if each)]
    sys.stdout.writelines(f"{line}\n" for line in lines or [f"audit: no known vulnerability in {len(answer)} packages"])
    return 1 if lines else 0


def _pinned(pin: Dependency) -> str:
    return f"{pin.name}=={pin.version} " + " ".join(f"--hash=sha256:{each}" for each in pin.hashes) + "\n"


def _ask(requirements: Path, flags: Sequence[str]) -> tuple[Sequence[dict[str, Any]], str]:
    """Return what pip-audit says of each package, and why it says nothing."""
    command = [sys.executable, "-m", "pip_audit", "-r", str(requirements), "--require-hashes", "--disable-pip"]
    command += ["--progress-spinner", "off", "--format", "json", *flags]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        return json.loads(ended.stdout)["dependencies"], ""
    except subprocess.TimeoutExpired:
        return (), f"no answer in {TIMEOUT_S:.0f} s"
    except ValueError:
        return (), (ended.stderr.strip().splitlines() or ["pip-audit said nothing"])[-1]


def _found(answer: Sequence[dict[str, Any]]) -> Iterator[str]:
    for package in answer:
        for each in package.get("vulns", ()):
            fixed = ", ".join(each["fix_versions"]) or "no release"
            yield f"audit: {package['name']} {package['version']}: {each['id']}, fixed in {fixed}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
