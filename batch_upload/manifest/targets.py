"""From the `targets` of a manifest, and of the file that they name, to its lanes."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from yaml.events import MappingStartEvent, ScalarEvent, SequenceStartEvent

from batch_upload.errors import UsageError
from batch_upload.escape import printable
from batch_upload.manifest import rules
from batch_upload.manifest.cursor import FASTEST_LOADER, Loader, is_null, position
from batch_upload.manifest.problems import AddProblem, Code, Problems, excerpt
from batch_upload.manifest.target_values import DEFAULTS, GivenTarget, TargetValues
from batch_upload.manifest.values import Given, value_in
from batch_upload.manifest.yaml_file import YamlFile, open_yaml
from batch_upload.model import KIB, Position, TargetName
from batch_upload.targets import GROUP_PREFIX, Target, target_advice

FILE_LIMIT_BYTES = 16 * KIB * KIB
"""A file of 100,000 targets has about 10 MB. Unlike entries, they are all kept in memory."""
_THE_FILE = "the file of targets"


@dataclass(frozen=True, slots=True)
class Targets:
    """The lanes of a manifest with `targets`, in its order: those of `from`, then those of `list`."""

    lanes: tuple[Target, ...] = ()
    """One for each Region of each target that has no problem."""
    broken: frozenset[str] = frozenset()
    """The names of the other targets, and those of their groups (`group:tier1`)."""
    is_whole: bool = True
    """Whether all names are known. False if a list, a name or the file could not be read."""


class TargetsFile(NamedTuple):
    """What a file of targets has. `found` is not all of it if `is_whole` is false."""

    found: list[GivenTarget]
    defaults: Given
    is_whole: bool


def resolve_targets(
    given: Given,
    problems: Problems,
    *,
    path: Path,
    folder: Path,
    allow_outside: bool,
    loader: Loader = FASTEST_LOADER,
) -> Targets:
    """Return the lanes of the keys of `targets`, and add every problem of them, also those of the file of `from`.

    `path` is the manifest as the user named it, `folder` its real folder.
    """
    made = _Lanes(problems)
    defaults: Given = value_in(given, "defaults") or {}
    if "from" in given:
        made.take_file(given["from"], defaults, path=path, folder=folder, allow_outside=allow_outside, loader=loader)
    if "list" in given:
        listed, event = given["list"]
        made.is_whole = made.is_whole and isinstance(event, SequenceStartEvent)
        for each in listed:
            made.take(each, [_Level(each[0], problems), _Level(defaults, problems)])
    made.is_whole = made.is_whole and ("from" in given or "list" in given)
    return Targets(tuple(made.lanes), frozenset(made.broken), made.is_whole)


def read_targets_file(path: Path, problems: Problems, *, loader: Loader = FASTEST_LOADER) -> TargetsFile:
    """Read a file of targets: a list of them, a mapping with `list` and perhaps `defaults`, or one of c7n-org.

    Raises UsageError if the path is no regular file or cannot be read.
    """
    with open_yaml(path, problems, loader=loader, size_limit_bytes=FILE_LIMIT_BYTES, what=_THE_FILE) as file:
        if file is None:
            return TargetsFile([], {}, is_whole=False)
        found: list[GivenTarget] = []
        defaults: Given = {}
        is_whole = False
        with file.until_fault():
            is_whole = _read_root(file, TargetValues(file.cursor, problems), problems, found, defaults)
            file.end()
        return TargetsFile(found, defaults, is_whole and not file.is_broken)


def _read_root(
    file: YamlFile, values: TargetValues, problems: Problems, found: list[GivenTarget], defaults: Given
) -> bool:
    """Read all of a file of targets into `found` and `defaults`. Return whether it has a list of them."""
    root = file.cursor.root()
    if isinstance(root, SequenceStartEvent):
        found += values.targets(root, _THE_FILE)
        return True
    if isinstance(root, MappingStartEvent):
        return _read_mapping(root, file, values, problems, found, defaults)
    if root is None or (isinstance(root, ScalarEvent) and is_null(root)):
        problems.add(Position(), Code.TARGETS_FILE, f"{_THE_FILE} is empty: write a list of targets")
    else:
        values.report_kind(root, _THE_FILE, "a list or a mapping")
    return False


def _read_mapping(
    root: MappingStartEvent,
    file: YamlFile,
    values: TargetValues,
    problems: Problems,
    found: list[GivenTarget],
    defaults: Given,
) -> bool:
    unknown: list[tuple[str, ScalarEvent]] = []
    lists: set[str] = set()
    for name, key, event in file.cursor.pairs():
        if name in ("list", "accounts"):
            found += (values.targets if name == "list" else values.accounts)(event, name)
            lists.add(name)
        elif name == "defaults":
            defaults.update(values.mapping(event, DEFAULTS) or {})
        elif name == "vars":  # of all accounts in a file of c7n-org
            defaults[name] = values.texts_of_variables(event, name), event
            unknown.append((name, key))
        else:
            values.skip(event)
            unknown.append((name, key))
    if "accounts" in lists:
        return True  # a file of c7n-org may have other keys
    for name, key in unknown:
        message = f"{excerpt(name)} is not a key of a file of targets: there are `defaults` and `list`"
        problems.add(position(key), Code.UNKNOWN_KEY, message)
    if not lists and not unknown:
        problems.add(position(root), Code.MISSING_KEY, f"`list` is missing: {_THE_FILE} has one, or is a list")
    return bool(lists)


class _Level(NamedTuple):
    """Keys of a target, or of defaults below it, and where their problems are reported."""

    given: Given
    problems: Problems


class _Setting(NamedTuple):
    value: Any
    at: Position
    problems: Problems


@dataclass(slots=True)
class _Lanes:
    """Makes lanes of targets one by one."""

    problems: Problems
    """Those of the manifest."""
    lanes: list[Target] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    is_whole: bool = True
    _names: dict[str, str] = field(default_factory=dict)
    """By name of a target: where it is listed, in words."""
    _takers: dict[tuple[str, str], str] = field(default_factory=dict)
    """By account and Region: the name of its target."""
    _reported: set[tuple[Position, str]] = field(default_factory=set)
    """Problems of a value that several targets have: its position, and what is wrong."""

    def take_file(
        self,
        setting: tuple[str | None, Any],
        defaults: Given,
        *,
        path: Path,
        folder: Path,
        allow_outside: bool,
        loader: Loader,
    ) -> None:
        """Take the targets of the file that `from` names."""
        named, event = setting
        if named is None:
            self.is_whole = False
            return
        real = Path(os.path.realpath(folder / named))
        if not allow_outside and not real.is_relative_to(folder):
            message = f"{excerpt(named)} leaves the manifest's folder: move it in, or use `--allow-outside`"
            self.problems.add(position(event), Code.OUTSIDE, message)
            self.is_whole = False
            return
        problems = Problems(str(path.parent / named))
        try:
            file = read_targets_file(path.parent / named, problems, loader=loader)
        except UsageError as error:
            self.problems.add(position(event), Code.TARGETS_FILE, printable(error.message))
            self.is_whole = False
            return
        self.is_whole = self.is_whole and file.is_whole
        for each in file.found:
            levels = [_Level(each[0], problems), _Level(file.defaults, problems), _Level(defaults, self.problems)]
            self.take(each, levels)
        self.problems.include(problems)

    def take(self, target: GivenTarget, levels: Sequence[_Level]) -> None:
        """Make a lane of each Region of a target. `levels`: its keys, then defaults, the nearest first."""
        given, at = target
        problems = levels[0].problems
        name = value_in(given, "name")
        for key in ("name", "account"):
            if key not in given:
                problems.add(at, Code.MISSING_KEY, f"`{key}` is missing: every target has one")
        name_at = position(given["name"][1]) if "name" in given else at
        regions = _setting("regions", levels)
        if regions is None:
            message = "`regions` is missing: write `regions: [us-east-1]`, here or in `defaults` of `targets`"
            problems.add(at, Code.MISSING_KEY, message)
        groups = _setting("groups", levels)
        words = () if groups is None or groups.value is None else groups.value
        is_good = "account" in given and regions is not None and all(value is not None for value, _ in given.values())
        is_good = is_good and regions is not None and regions.value is not None
        if name is not None and name in self._names:
            message = f"the target {excerpt(name)} is listed in {self._names[name]} already: rename one"
            problems.add(name_at, Code.DUPLICATE_TARGET, message)
            is_good = False
        made: list[Target] = []
        if name is not None and is_good and regions is not None:
            self._names[name] = f"line {at.line}" + (
                "" if problems is self.problems else f" of {excerpt(Path(problems.file).name)}"
            )
            made = list(self._lanes_of(name, name_at, value_in(given, "account"), regions, levels))
            is_good = len(made) == len(regions.value)
        if is_good:
            self.lanes += made
        elif name is None:
            self.is_whole = False
        else:
            self._names.setdefault(name, f"line {at.line}")
            self.broken |= {name, *(f"{GROUP_PREFIX}{word}" for word, _ in words)}

    def _lanes_of(
        self, name: str, name_at: Position, account: str, regions: _Setting, levels: Sequence[_Level]
    ) -> Iterator[Target]:
        """Yield a lane for each Region, without those that have a problem."""
        own = regions.problems is levels[0].problems
        words = _setting("groups", levels)
        variables = {
            key: text for level in reversed(levels) for key, text in (value_in(level.given, "vars") or {}).items()
        }
        groups = frozenset(word for word, _ in words.value or ()) if words is not None else frozenset[str]()
        external_id = _setting("external_id", levels)
        regions_before: set[str] = set()
        for region, region_at in regions.value:
            other = self._takers.setdefault((account, region), name)
            at = region_at if own and "regions" in levels[0].given else name_at
            if other != name:
                message = f"the target {excerpt(other)} is for {account} in {region} already: leave one out"
                self._report(levels[0].problems, name_at, f"as {other}", Code.DUPLICATE_TARGET, message)
                continue
            if region in regions_before:
                message = f"{excerpt(region)} is listed twice: leave one out"
                self._report(regions.problems, at, region, Code.DUPLICATE_TARGET, message)
                continue
            regions_before.add(region)
            named = {f"vars.{key}": text for key, text in variables.items()}
            values = {**named, "account": account, "name": name, "region": region}
            is_good, texts = True, dict[str, str | None]()
            for key in ("role_arn", "profile"):
                setting = _setting(key, levels)
                texts[key] = None if setting is None else self._filled(key, setting, values)
                is_good = is_good and (setting is None or texts[key] is not None)
            if is_good:
                yield Target(
                    region=region,
                    account=account,
                    profile=texts["profile"],
                    role_arn=texts["role_arn"],
                    external_id=None if external_id is None else external_id.value,
                    name=name,
                    groups=groups,
                    vars=variables,
                )

    def _filled(self, key: str, setting: _Setting, values: dict[str, str]) -> str | None:
        """Return `role_arn` or `profile` with its templates filled in, or None if it has a problem."""
        template, at, problems = setting
        if template is None:
            return None
        missing = rules.missing_variable(template, values)
        if missing is not None:
            message = f"`{{vars.{missing}}}`: the target {excerpt(values['name'])} has no `{missing}` in `vars`"
            self._report(problems, at, message, Code.TEMPLATE, message)
            return None
        text = rules.render(template, values)
        is_role = key == "role_arn"
        wrong = rules.wrong_with_word(Code.ROLE_ARN, text) if is_role else rules.wrong_with_text(key, text)
        if wrong is not None:
            self._report(
                problems, at, values["name"], wrong[0], f"{wrong[1]} (of the target {excerpt(values['name'])})"
            )
            return None
        return text

    def _report(self, problems: Problems, at: Position, what: str, code: Code, message: str) -> None:
        """Add a problem, once for the value at this position."""
        key = at, f"{problems.file} {what}"
        if key not in self._reported:
            self._reported.add(key)
            problems.add(at, code, message)


def _setting(key: str, levels: Sequence[_Level]) -> _Setting | None:
    """Return the nearest value of a key, None in it if it has a problem; None if it is given nowhere."""
    for given, problems in levels:
        if key in given:
            value, event = given[key]
            return _Setting(value, position(event), problems)
    return None


def values_of(target: Target) -> dict[str, str]:
    """Return the values of a lane's templates in tags, sources and ids."""
    values = {f"vars.{key}": text for key, text in target.vars.items()}
    return {**values, "account": target.account or "", "region": target.region or "", "target": target.name or ""}


class Chooser:
    """Finds the lanes that `target` of an entry names. `report` adds the problem of a name that stands for none."""

    def __init__(self, targets: Targets, report: AddProblem) -> None:
        self._targets = targets
        self._report = report
        self._places: dict[str, list[int]] = {}
        self._chosen: dict[tuple[str, ...], tuple[Target, ...]] = {}
        """By names: the lanes of each list of names that was chosen without a problem."""
        for place, lane in enumerate(targets.lanes):
            groups = (f"{GROUP_PREFIX}{group}" for group in lane.groups)
            for name in ("all", lane.name or "", lane.label or "", *groups):
                self._places.setdefault(name, []).append(place)

    @property
    def example(self) -> str:
        """A name for messages."""
        return next((lane.name or "" for lane in self._targets.lanes), "NAME")

    def choose(self, names: Sequence[TargetName]) -> tuple[Target, ...]:
        """Return the lanes of these names, each once, in the manifest's order."""
        words = tuple(word for word, _ in names)
        known = self._chosen.get(words)
        if known is not None:
            return known
        places: set[int] = set()
        is_good = True
        for word, at in names:
            found = self._places.get(word)
            if found is not None:
                places.update(found)
            elif not self._may_be_broken(word):
                is_good = False
                advice = target_advice(word, self._targets.lanes)
                self._report(at, Code.UNKNOWN_TARGET, f"{excerpt(word)} is none of the manifest's targets: {advice}")
        lanes = tuple(self._targets.lanes[place] for place in sorted(places))
        if is_good:
            self._chosen[words] = lanes
        return lanes

    def _may_be_broken(self, word: str) -> bool:
        """Whether the name is that of a target with a problem, or may be."""
        broken = self._targets.broken
        return not self._targets.is_whole or word == "all" or word in broken or word.partition("/")[0] in broken
