"""From YAML events to the values of `targets`, each checked; `targets.py` makes lanes of them."""

from collections.abc import Mapping
from functools import partial

from yaml.events import Event, MappingStartEvent, ScalarEvent, SequenceStartEvent

from batch_upload.manifest import rules
from batch_upload.manifest.cursor import YamlCursor, is_null, position
from batch_upload.manifest.problems import Code, Problems, excerpt
from batch_upload.manifest.values import Given, ManifestValues, ValueReader
from batch_upload.model import Position, TargetName

DEFAULTS = "`defaults` of `targets`"
TARGET = "a target"
C7N_ACCOUNT = "an account"
"""The names of these mappings in messages. The last is an element of `accounts` in a file of c7n-org."""

GivenTarget = tuple[Given, Position]
"""The keys of one target, and where it begins."""
Words = tuple[tuple[str, Position], ...]


class TargetValues(ManifestValues):
    """Reads the values of a manifest and its `targets`, or of a file of targets. As ManifestValues."""

    def __init__(self, cursor: YamlCursor, problems: Problems) -> None:
        super().__init__(cursor, problems)
        groups = partial(self.words, code=Code.GROUP, may_be_empty=True)
        defaults: dict[str, ValueReader] = {
            "regions": partial(self.words, code=Code.REGION),
            "role_arn": self.role_arn,
            "external_id": partial(self.word, code=Code.EXTERNAL_ID),
            "profile": self.template,
            "groups": groups,
            "vars": self.variables,
        }
        name, account = partial(self.word, code=Code.TARGET_NAME), partial(self.word, code=Code.ACCOUNT)
        self.readers[DEFAULTS] = defaults
        self.readers[TARGET] = {**defaults, "name": name, "account": account}
        self.readers[C7N_ACCOUNT] = {
            **defaults,
            "name": name,
            "account_id": account,
            "role": self.role_of_account,
            "tags": groups,
            "vars": self.texts_of_variables,
        }
        self.readers["`targets`"] = {
            "defaults": lambda event, _: self.mapping(event, DEFAULTS),
            "from": self.text,
            "list": self.targets,
        }
        self.readers["`defaults`"]["target"] = self.readers["an entry"]["target"] = self.names_of_targets
        self.readers["the manifest"]["targets"] = lambda event, _: self.mapping(event, "`targets`")

    def names_of_targets(self, event: Event, name: str) -> tuple[TargetName, ...]:
        """Return the `target` of an entry or of `defaults`: a name, or a list of names. Empty if it has a problem."""
        due, example = "a name, or a list of names", "write `target: acme`"
        items = self.one_or_more(event, name, due=due, advice="name one, or `all`", example=example)
        texts = [(self.text(item, name), position(item)) for item in items]
        return tuple((text, at) for text, at in texts if text is not None)

    def targets(self, event: Event, name: str) -> list[GivenTarget]:
        """Return the targets of a list."""
        advice = 'add one such as `- {name: acme, account: "123456789012"}`'
        items = self.items(event, excerpt(name), advice=advice)
        found = [(self.mapping(item, TARGET), position(item)) for item in items]
        return [(given, at) for given, at in found if given is not None]

    def accounts(self, event: Event, name: str) -> list[GivenTarget]:
        """Return the targets of c7n-org's `accounts`. Keys that mean nothing here are passed over."""
        found: list[GivenTarget] = []
        readers = self.readers[C7N_ACCOUNT]
        for item in self.items(event, excerpt(name), advice="add an account"):
            if not isinstance(item, MappingStartEvent):
                self.report_kind(item, C7N_ACCOUNT, "a mapping")
                continue
            given: Given = {}
            for key, _, value in self.pairs():
                if key in readers:
                    given[key] = readers[key](value, key), value
                else:
                    self.skip(value)
            found.append((_as_target(given), position(item)))
        return found

    def words(self, event: Event, name: str, *, code: Code, may_be_empty: bool = False) -> Words | None:
        """Return the texts of a list that have the pattern of `code`, each with its position."""
        if not isinstance(event, SequenceStartEvent):
            self.report_kind(event, excerpt(name), "a list")
            return None
        found: list[tuple[str, Position]] = []
        is_good, is_empty = True, True
        for item in self.list_items():
            word = self.word(item, name, code=code)
            is_empty, is_good = False, is_good and word is not None
            if word is not None:
                found.append((word, position(item)))
        if is_empty and not may_be_empty:
            self.report(event, Code.EMPTY_LIST, f"{excerpt(name)} is empty: name one, or leave the key out")
            return None
        return tuple(found) if is_good else None

    def variables(self, event: Event, name: str) -> Mapping[str, str] | None:
        """Return a mapping of names to texts, which may be empty in quotes."""
        if not isinstance(event, MappingStartEvent):
            self.report_kind(event, excerpt(name), "a mapping")
            return None
        found: dict[str, str] = {}
        for variable, key, value in self.pairs():
            is_good_name = not self.is_wrong(key, rules.wrong_with_word(Code.VARIABLE, variable))
            scalar = self.scalar(value, variable)
            if scalar is None:
                continue
            wrong = rules.wrong_with_text(variable, scalar.value) if scalar.value else None
            if not self.is_wrong(value, wrong) and is_good_name:
                found[variable] = scalar.value
        return found

    def texts_of_variables(self, event: Event, name: str) -> Mapping[str, str] | None:
        """Return c7n-org's `vars`, of which lists, mappings and what no template can name are passed over."""
        if not isinstance(event, MappingStartEvent):
            self.report_kind(event, excerpt(name), "a mapping")
            return None
        found: dict[str, str] = {}
        for variable, _, value in self.pairs():
            if not isinstance(value, ScalarEvent):
                self.skip(value)
            elif not is_null(value) and not rules.wrong_with_word(Code.VARIABLE, variable):
                found[variable] = value.value
        return found

    def template(self, event: Event, name: str) -> str | None:
        """Return a text that may have the templates of a target."""
        text = self.text(event, name)
        wrong = None if text is None else rules.wrong_with_template(text, rules.TARGET_TEMPLATE_NAMES)
        return None if wrong and self.is_wrong(event, (Code.TEMPLATE, wrong)) else text

    def role_arn(self, event: Event, name: str) -> str | None:
        """Return the ARN of a role, which may have the templates of a target; then it is checked when filled in."""
        text = self.template(event, name)
        if text is None or rules.has_braces(text):
            return text
        return None if self.is_wrong(event, rules.wrong_with_word(Code.ROLE_ARN, text)) else text

    def role_of_account(self, event: Event, name: str) -> str | None:
        """Return c7n-org's `role`: an ARN, perhaps with `{account_id}`, or a list of one. A chain is a problem."""
        if not isinstance(event, SequenceStartEvent):
            return self._role_with_account_id(event, name)
        roles = [self._role_with_account_id(item, name) for item in self.list_items()]
        if len(roles) == 1:
            return roles[0]
        self.report(event, Code.ROLE_ARN, "`role` must be one role: a chain of roles is not supported")
        return None

    def _role_with_account_id(self, event: Event, name: str) -> str | None:
        if isinstance(event, ScalarEvent):
            event.value = event.value.replace("{account_id}", "{account}")
        return self.role_arn(event, name)


def _as_target(account: Given) -> Given:
    """Return an account of c7n-org under the keys of a target. Without a name its number is its name."""
    names = {"account_id": "account", "role": "role_arn", "tags": "groups"}
    given = {names.get(key, key): value for key, value in account.items()}
    if "name" not in given and "account" in given:
        given["name"] = given["account"]
    return given
