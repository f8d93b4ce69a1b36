"""What a shell offers behind TAB: driven by a real bash, and by what zsh and fish ask of the command."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.batches import pdf, write_batch
from tests.support.command import COMMAND, TIMEOUT_S
from tests.support.fleets import make_fleet
from tests.support.scheduled import require
from tests.test_architecture import HEAVY

IDS = ("acme/loa.pdf", "acme/terms.pdf", "bäcker/loa.pdf")
HOSTILE = ("$(touch hit).pdf", "`touch hit`.pdf", "a b.pdf", "*.pdf", "';touch hit;'.pdf", '".pdf', "a:b.pdf")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A manifest whose ids are harmless, and some that a shell would carry out."""
    write_batch(tmp_path, {name: pdf(name) for name in (*IDS, *HOSTILE)})
    return tmp_path


def env_of(**more: str) -> dict[str, str]:
    return {**os.environ, "PATH": f"{COMMAND.parent}:{os.environ['PATH']}", **more}


def in_bash(folder: Path, *lines: Sequence[str]) -> list[list[str]]:
    """What bash offers for each of these lines, whose last word is being typed."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    script = ["shopt -s progcomp", 'eval "$(_BATCH_UPLOAD_COMPLETE=source_bash batch-upload)"']
    for words in lines:
        quoted = " ".join(f"'{word}'" for word in words)
        script += [
            f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; COMPREPLY=()",
            "_batch_upload_completion batch-upload",
            'printf "%s\\n" "${COMPREPLY[@]}"; echo ---',
        ]
    ended = subprocess.run(
        ["bash", "--norc", "-c", "\n".join(script)],
        cwd=folder,
        env=env_of(),
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT_S,
        check=True,
    )
    assert ended.stderr == ""
    return [[line for line in part.split("\n") if line] for part in ended.stdout.split("---\n")[:-1]]


def asked(folder: Path, shell: str, line: str) -> str:
    """What zsh or fish is told for a line."""
    env = env_of(
        _BATCH_UPLOAD_COMPLETE=f"complete_{shell}", _TYPER_COMPLETE_ARGS=line, _TYPER_COMPLETE_FISH_ACTION="get-args"
    )
    return subprocess.run(
        [COMMAND], cwd=folder, env=env, capture_output=True, encoding="utf-8", timeout=TIMEOUT_S, check=True
    ).stdout


def test_bash_offers_verbs_flags_formats_states_and_ids(folder: Path) -> None:
    verbs, flags, formats, states, ids, all_ids, files = in_bash(
        folder,
        ("batch-upload", "ver"),
        ("batch-upload", "upload", "june.yaml", "--sett"),
        ("batch-upload", "report", "june.yaml", "--format", ""),
        ("batch-upload", "upload", "june.yaml", "--only", "failed,pa"),
        ("batch-upload", "upload", "june.yaml", "--only", "acme/"),
        ("batch-upload", "why", "june.yaml", ""),
        ("batch-upload", "upload", "ju"),
    )

    assert verbs == ["verify"]
    assert flags == ["--settle-timeout"]
    assert {"csv", "jsonl", "manifest"} <= set(formats)
    assert states == ["failed,parked"]
    assert ids == ["acme/loa.pdf", "acme/terms.pdf"]
    assert all_ids == list(IDS)
    assert files == []  # bash completes paths by itself then
    assert not (folder / "hit").exists()


def test_bash_offers_the_built_in_forms_and_their_fields(folder: Path) -> None:
    shown, new, fields = in_bash(
        folder,
        ("batch-upload", "manifest", "forms", "rcs"),
        ("batch-upload", "manifest", "new", "letters", "--form", "sender"),
        ("batch-upload", "manifest", "new", "c.csv", "--bind", "campaignInfo.o"),
    )

    assert shown == ["rcs-logo", "rcs-banner"]
    assert new == ["sender-id-letter", "sender-id-document"]
    assert fields == ["campaignInfo.optInScreenshot"]


def test_a_manifest_that_cannot_be_read_offers_nothing_and_says_nothing(folder: Path) -> None:
    (folder / "broken.yaml").write_text("attachments: [", encoding="utf-8")
    (folder / "large.yaml").write_text("# " + "x" * 1_100_000, encoding="utf-8")

    assert in_bash(
        folder,
        ("batch-upload", "why", "broken.yaml", ""),
        ("batch-upload", "why", "large.yaml", ""),
        ("batch-upload", "why", "none.yaml", ""),
    ) == [[], [], []]


def test_zsh_and_fish_are_told_the_same(folder: Path) -> None:
    assert asked(folder, "zsh", "batch-upload why june.yaml acme/t") == "_arguments '*: :((\"acme/terms.pdf\"))'\n"
    assert asked(folder, "fish", "batch-upload why june.yaml acme/") == "acme/loa.pdf\nacme/terms.pdf\n"
    assert "touch" not in asked(folder, "zsh", "batch-upload why june.yaml ")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_shell_that_is_there_reads_its_script(folder: Path, shell: str) -> None:
    require(shell)
    script = subprocess.run(
        [COMMAND], env=env_of(_BATCH_UPLOAD_COMPLETE=f"source_{shell}"), capture_output=True, text=True
    )
    assert subprocess.run([shell, "-n"], input=script.stdout, text=True, timeout=TIMEOUT_S).returncode == 0


def test_nothing_heavy_is_loaded_while_a_shell_waits(folder: Path) -> None:
    script = (
        "import sys\nfrom batch_upload.cli.main import main\n"
        "try:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)\n"
    )
    env = env_of(
        _BATCH_UPLOAD_COMPLETE="complete_bash", COMP_WORDS="batch-upload\nwhy\njune.yaml\nacme", COMP_CWORD="3"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=env, capture_output=True, encoding="utf-8", timeout=TIMEOUT_S
    )

    assert ended.stdout.split() == ["acme/loa.pdf", "acme/terms.pdf"]
    loaded = {name.split(".")[0] for name in ended.stderr.split()}
    assert loaded.isdisjoint({*HEAVY} - {"yaml", "pydantic"})  # the reader's, and typer's own


def test_bash_offers_the_targets_of_the_manifest(folder: Path) -> None:
    text = (folder / "june.yaml").read_text(encoding="utf-8")
    targets = (
        "targets:\n  list:\n"
        "    - {name: acme, account: '111122223333', regions: [us-east-1, us-west-2], groups: [tier1, $(hit)]}\n"
        "    - {name: beta, account: '444455556666', regions: [us-east-1]}\n"
    )
    (folder / "fleet.yaml").write_text(text.replace("attachments:", f"{targets}attachments:"), encoding="utf-8")

    named, all_of_them, groups, none = in_bash(
        folder,
        ("batch-upload", "upload", "fleet.yaml", "--target", "ac"),
        ("batch-upload", "validate", "fleet.yaml", "--target", ""),
        ("batch-upload", "plan", "fleet.yaml", "--target", "gr"),
        ("batch-upload", "upload", "june.yaml", "--target", ""),
    )

    assert named == ["acme", "acme/us-east-1", "acme/us-west-2"]
    assert all_of_them == ["acme", "beta", "acme/us-east-1", "acme/us-west-2", "beta/us-east-1", "group:tier1"]
    assert groups == ["group:tier1"]
    assert none == []


def test_an_id_that_is_in_several_lanes_is_offered_once(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path, accounts=1, items=1)

    (offered,) = in_bash(tmp_path, ("batch-upload", "why", fleet.path.name, "t000"))

    assert offered == ["t000/all-0.pdf"]
