"""The targets of a table: each row names one, and its account and Region are in the table or in a file of targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from yaml.events import Event, ScalarEvent, SequenceStartEvent

from batch_upload.errors import UsageError
from batch_upload.manifest import rules
from batch_upload.manifest.problems import Code, Problems, excerpt
from batch_upload.manifest.target_values import GivenTarget
from batch_upload.manifest.targets import Targets, resolve_targets
from batch_upload.manifest.values import Given
from batch_upload.model import Position, TargetName
from batch_upload.spelling import closest

ACCOUNT_COLUMN = "account"
REGION_COLUMN = "region"


@dataclass(slots=True)
class _Found:
    """What the rows of a target say."""

    line: int
    account: str | None = None
    regions: list[str] = field(default_factory=list)
    is_bad: bool = False
    """Whether one of its rows has a problem, so that the others say too little."""


@dataclass(slots=True)
class RowTargets:
    """Takes the target of each row, and makes the `targets` of the manifest of them.

    `column`: the table's that has the names. `file`: the file of targets, relative to `folder`, the manifest's; without
    it the columns `account` and `region` say what a target is, `region` where the latter is empty.
    """

    column: str
    folder: Path
    file: str | None = None
    region: str | None = None
    role_arn: str | None = None
    _found: dict[str, _Found] = field(default_factory=dict)

    @property
    def own_columns(self) -> tuple[str, ...]:
        """The columns that are no tags."""
        return (self.column,) if self.file is not None else (self.column, ACCOUNT_COLUMN, REGION_COLUMN)

    def for_columns(self, columns: Sequence[str]) -> None:
        """Raise UsageError if the table lacks a column that is needed. Names it as the table does."""
        if self.column not in columns:
            alike = closest(self.column, columns)
            if alike is None:
                listed = ", ".join(excerpt(each) for each in columns if each)
                message = f"`--target-column {self.column}` is not a column of the table"
                raise UsageError(message, hint=f"the columns are {listed}")
            self.column = alike.name
        if self.file is None and ACCOUNT_COLUMN not in columns:
            raise UsageError(
                "the table has no column `account`, which `--target-column` needs",
                hint="`--targets FILE` names a file that has the accounts",
            )

    def of_row(self, line: int, cells: Mapping[str, str], problems: list[tuple[str, str]]) -> TargetName | None:
        """Return the name of the row's target, or None after its problem was added."""
        name, at = cells.get(self.column, ""), Position(line)
        if not name:
            problems.append((Code.NO_TARGET, f"column {excerpt(self.column)}: the row names no target"))
            return None
        if self.file is not None:
            return name, at
        account = cells.get(ACCOUNT_COLUMN, "")
        region = cells.get(REGION_COLUMN, "") or self.region or ""
        wrong = (
            rules.wrong_with_word(Code.TARGET_NAME, name)
            or (rules.wrong_with_word(Code.ACCOUNT, account) if account else None)
            or (rules.wrong_with_word(Code.REGION, region) if region else None)
        )
        found = self._found.setdefault(name, _Found(line))
        if wrong:
            problems.append(wrong)
            found.is_bad = True
            return None
        if account and found.account not in (None, account):
            message = f"the target {excerpt(name)} is the account {found.account} in line {found.line}, here {account}"
            problems.append((Code.DUPLICATE_TARGET, message))
            found.is_bad = True
            return None
        found.account = found.account or account or None
        if region and region not in found.regions:
            found.regions.append(region)
        return (f"{name}/{region}" if region else name), at

    def resolved(self, problems: Problems, *, allow_outside: bool) -> Targets:
        """Return the targets once all rows were taken, and add their problems."""
        given: Given = {}
        if self.file is not None:
            given["from"] = self.file, _event(1)
        else:
            usable = [(name, found) for name, found in self._found.items() if self._is_usable(name, found, problems)]
            event = SequenceStartEvent(None, None, implicit=True)
            given["list"] = [_given(name, found) for name, found in usable], event
            if self.role_arn is not None:
                given["defaults"] = {"role_arn": (self.role_arn, _event(1))}, _event(1)
        path = self.folder / "manifest.yaml"
        return resolve_targets(given, problems, path=path, folder=self.folder, allow_outside=allow_outside)

    def _is_usable(self, name: str, found: _Found, problems: Problems) -> bool:
        """Return whether the rows say what a target is; if they are good and do not, add a problem."""
        if found.is_bad:
            return False
        if found.account is None:
            message = f"column `account`: it is empty in every row of the target {excerpt(name)}"
            problems.add(Position(found.line), Code.MISSING_KEY, message)
        if not found.regions:
            message = f"column `region`: it is empty in every row of the target {excerpt(name)}; `--region` gives one"
            problems.add(Position(found.line), Code.MISSING_KEY, message)
        return found.account is not None and bool(found.regions)


def _given(name: str, found: _Found) -> GivenTarget:
    """Return a target as if it had been read from a manifest, with the line of its first row as its position."""
    event, at = _event(found.line), Position(found.line)
    given: Given = {"name": (name, event)}
    if found.account is not None:
        given["account"] = found.account, event
    if found.regions:
        given["regions"] = tuple((region, at) for region in found.regions), event
    return given, at


def _event(line: int) -> Event:
    mark = yaml.Mark("", 0, line - 1, 0, None, 0)
    return ScalarEvent(None, None, (True, True), "", start_mark=mark, end_mark=mark)
