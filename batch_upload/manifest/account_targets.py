"""Make a file of targets from the accounts of an organization, in the form that `targets.from` of a manifest reads."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count

from batch_upload.escape import printable
from batch_upload.spelling import yaml_scalar, yaml_text

NAME_LENGTH = 128
"""Of a target, at most."""
RESERVED_NAME = "all"
"""Stands for all targets of a manifest, in any case."""
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class AccountTarget:
    """An account and the name of its target. `account_name` is the organization's, any text."""

    name: str
    account: str
    account_name: str


def targets_of_accounts(account_names: Mapping[str, str]) -> list[AccountTarget]:
    """Return a target for each account, in the order of the account ids. `account_names`: by account id.

    A name of a target has ASCII letters, digits and `.`, `_`, `-` only, and no other target has it in any case.
    Accounts whose names come out alike get their id behind it, each of them, so that the order decides nothing.
    """
    bases = {account: _base_name(name) for account, name in sorted(account_names.items())}
    alike = Counter(base.casefold() for base in bases.values())
    taken: set[str] = set()
    made = []
    for account, base in bases.items():
        is_free = base and alike[base.casefold()] == 1 and base.casefold() != RESERVED_NAME
        with_id = f"{base[: NAME_LENGTH - 20]}-{account}" if base else account
        candidates = chain([base] if is_free else [], [with_id], (f"{with_id}-{number}" for number in count(2)))
        name = next(each for each in candidates if each.casefold() not in taken)
        taken.add(name.casefold())
        made.append(AccountTarget(name, account, account_names[account]))
    return made


def targets_file_lines(targets: Sequence[AccountTarget], *, role_arn: str, regions: Sequence[str]) -> Iterator[str]:
    """Yield the lines of a file of targets.

    The same accounts give the same lines. Without `regions` the `targets.defaults` of the manifest must name them.
    """
    yield "# Review this list, then name the file in a manifest: `targets: {from: FILE}`."
    yield "defaults:"
    yield f"  role_arn: {yaml_text(role_arn)}"
    yield "list:"
    named = f", regions: [{', '.join(regions)}]" if regions else ""
    for each in targets:
        comment = "" if each.name == each.account_name else f"  # {printable(each.account_name)}"
        yield f'  - {{name: {yaml_scalar(each.name)}, account: "{each.account}"{named}}}{comment}'


def _base_name(account_name: str) -> str:
    """Return what of an account's name a target's may have; empty if nothing is left."""
    letters = unicodedata.normalize("NFKD", account_name).encode("ascii", "ignore").decode()
    spaced = _UNFIT.sub("-", "".join(letters))
    return re.sub("-{2,}", "-", spaced).strip("-._")[:NAME_LENGTH].rstrip("-._")
