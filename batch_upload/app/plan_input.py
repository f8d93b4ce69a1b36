"""What a plan is made of, lane by lane: the manifest's items, and what the ledger holds of them. Blocking."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from batch_upload.actions import Action, ActionKind, Plan
from batch_upload.app.exits import STATE_OF_STATUS
from batch_upload.app.items import LanePart, lane_parts
from batch_upload.app.lanes import lane_readers
from batch_upload.app.ledger_alone import LedgerPart, current_rows, ledger_parts
from batch_upload.app.ledger_view import (
    RUNS_LOOKED_AT,
    hold_of,
    refusal_of,
    rows_by_id,
    rows_of_listed,
    state_of_unread,
)
from batch_upload.app.registrations import definitions_since, has_bind, items_to_look_at, without_problems
from batch_upload.app.sendable import Prepared, Unread, item_of_listed, known_invalid
from batch_upload.engine.binding import binds_of, rows_after_rebind
from batch_upload.engine.plan import (
    LaneOutlook,
    Selection,
    Unfinished,
    plan_unfinished,
    tokens_of,
    unfinished_items,
    with_twins,
)
from batch_upload.engine.registrations import RegistrationLook
from batch_upload.engine.rows import (
    BatchRows,
    carried_tries,
    is_absent,
    is_unsent,
    new_row,
    shown_row,
    shown_row_of_id,
    state_of_row,
)
from batch_upload.engine.survey import Seen
from batch_upload.ledger_address import LedgerAddress
from batch_upload.model import OPEN, Attachment, Item, Known, Lane, State
from batch_upload.ports import LedgerReader
from batch_upload.records import BoundItem, LaneHold, RateRecord, RunRecord, Twin
from batch_upload.registration import Bind, RegistrationField
from batch_upload.settings import RunOptions, Settings
from batch_upload.targets import Target


@dataclass(frozen=True, slots=True)
class UnplannedRows:
    """The ledger's rows of what is no item of the plan."""

    unread: Sequence[Known | None] = ()
    """Of each attachment that cannot be sent; None for one that the ledger does not know."""
    young: Sequence[Known] = ()
    """Of files that are too young for a run, as far as the ledger knows them."""
    unlisted: Sequence[Known] = ()
    """Of items that no glob of the manifest matches any more; of all items if the manifest was not read."""

    @property
    def count(self) -> int:
        """How many attachments they are."""
        return len(self.unread) + len(self.young) + len(self.unlisted)

    @property
    def rows(self) -> list[Known]:
        """What the ledger has of all of them."""
        return [row for row in (*self.unread, *self.young, *self.unlisted) if row is not None]

    def states(self) -> Counter[State]:
        """Count them by state, for a verb that only reads."""
        return Counter([*map(state_of_unread, self.unread), *map(state_of_row, (*self.young, *self.unlisted))])


def unplanned_rows(prepared: Prepared, known: Sequence[Known]) -> UnplannedRows:
    """Return the rows of what a manifest has no item for. Of an id that is listed twice only the first has the row."""
    rows, ids = rows_by_id(known), [each.listed.item_id for each in prepared.young]
    unlisted: Sequence[Known] = ()
    if prepared.unmatched:
        listed = {listed.item_id for listed, _ in prepared.unread} | {item.item_id for item in prepared.items} | {*ids}
        unlisted = _shown(rows, (row.item_id for row in known if row.current and row.item_id not in listed))
    return UnplannedRows(rows_of_listed([listed for listed, _ in prepared.unread], known), _shown(rows, ids), unlisted)


def _shown(rows: Mapping[str, Sequence[Known]], ids: Iterable[str]) -> list[Known]:
    """Return the row that is shown of each id. An id without a current row has none."""
    found = (shown_row_of_id(rows.get(item_id, ())) for item_id in ids)
    return [row for row in found if row is not None]


@dataclass(frozen=True, slots=True)
class PlanInput:
    """What the plan of one lane is made of."""

    part: LanePart
    unfinished: Unfinished
    """The items that are not simply complete, and the number of those that are."""
    rows: BatchRows = field(default_factory=BatchRows)
    unplanned: UnplannedRows = field(default_factory=UnplannedRows)
    unchosen: Sequence[Known | None] = ()
    """The rows of those that `--only` leaves out."""
    lane: Lane | None = None
    attachments: Mapping[str, str | None] = field(default_factory=dict)
    """The identity tag of every attachment of the lane that the ledger knows, None for one without."""
    is_new: bool = True
    """Whether the ledger has never listed its lane: it may not know attachments of this batch that exist."""
    refusal: str = ""
    """Why `upload` refuses this ledger, as its last run said; empty if it does not."""
    rates: Sequence[RateRecord] = ()
    """The rates that runs have learned."""
    twins: Sequence[Twin] = ()
    """What is at the service already with the bytes of an item that the ledger does not know."""
    last_run: RunRecord | None = None
    hold: LaneHold | None = None
    """Who holds the lane, or held it last, where several hosts share the ledger."""
    bound: Sequence[BoundItem] = ()
    """What is in the fields of registrations; read only for a manifest that binds something."""
    definitions: Mapping[str, Sequence[RegistrationField]] = field(default_factory=dict)
    """The fields of types of registration that need not be asked for; read as `bound`."""
    is_ledger_alone: bool = False
    """Whether the manifest was not read: then all items of the ledger are in `unplanned.unlisted`."""

    @property
    def target(self) -> Target:
        """The lane as the manifest names it."""
        return self.part.target

    @property
    def prepared(self) -> Prepared:
        """What the lane gets of the manifest and its files."""
        return self.part.prepared

    @property
    def binds(self) -> Iterator[Bind]:
        """As `LanePart.binds`."""
        return self.part.binds

    @property
    def settings(self) -> Settings:
        """The settings of the lane."""
        return self.part.settings

    @property
    def items(self) -> int:
        """How many items there are, those that cannot be sent or are not chosen included."""
        return len(self.prepared.items) + self.unplanned.count + len(self.unchosen)

    @property
    def absent(self) -> list[str]:
        """The attachments that an earlier run did not find, and that `upload` asks for once more."""
        return [row.attachment_id for row in self.rows.absent if row.attachment_id is not None]

    def plan(self, outlook: LaneOutlook) -> Plan:
        """Plan what can be sent, and name what cannot if that is skipped. What may still be listed is no orphan."""
        if self.is_ledger_alone:
            shown = {row.client_token for row in self.unplanned.rows}
            may_exist = (row for row in self.rows.by_token.values() if row.is_live or row.state in OPEN)
            return Plan((), more_orphans=sum(row.client_token not in shown for row in may_exist))
        prepared, is_part, later = self.prepared, self.prepared.is_part, self.prepared.young_ids
        made = plan_unfinished(self.unfinished, self.rows, outlook, is_part=is_part, later=later)
        batch = prepared.manifest.batch
        made = with_twins(made, self.twins, prepared.items, batch=batch, is_part=is_part, later=later)
        others = {listed.item_id for listed, _ in prepared.unread} | {each.item_id for each in prepared.unchosen}
        actions = [each for each in made.actions if each.item_id not in others]
        if prepared.skips_invalid:
            actions += invalid_actions(prepared.unread, self.unplanned.unread)
        return replace(made, actions=tuple(actions))

    @property
    def items_to_look_at(self) -> list[Item]:
        """The items for which registrations are looked at."""
        selection = Selection(self.settings.only_states, self.settings.only_ids)
        return items_to_look_at(self.prepared, selection, self.rows)

    def looked_at(self, look: RegistrationLook) -> "PlanInput":
        """Return the same as `upload` would have it after a look at the registrations."""
        prepared = without_problems(self.prepared, look.problems)
        rows = rows_after_rebind([*self.rows.by_token.values()], look.stale)
        wrong = {problem.item_id for problem in look.problems}
        shown = rows_of_listed([listed for listed, _ in prepared.unread], rows)
        return replace(
            self,
            part=replace(self.part, prepared=prepared),
            unfinished=replace(
                self.unfinished, items=tuple(each for each in self.unfinished.items if each.item_id not in wrong)
            ),
            rows=BatchRows.of(rows),
            unplanned=replace(self.unplanned, unread=shown) if wrong else self.unplanned,
        )

    def states(self) -> Counter[State]:
        """Count every item of the manifest by its state."""
        states = self.left_out()
        states.update(state_of_row(shown_row(item, self.rows)) for item in self.unfinished.items)
        states[State.COMPLETE] += self.unfinished.complete
        return +states

    def left_out(self) -> Counter[State]:
        """Count what cannot be sent, and what `--only` leaves out, by state."""
        unplanned = self.unplanned
        if self.prepared.skips_invalid:
            unplanned = replace(unplanned, unread=(None,) * len(unplanned.unread))  # invalid, whatever the ledger has
        return unplanned.states() + Counter(map(state_of_row, self.unchosen))

    @property
    def invalid(self) -> list[Known]:
        """What cannot be sent and is skipped, as it is reported."""
        if not self.prepared.skips_invalid:
            return []
        return [known_invalid(*each) for each in zip(self.prepared.unread, self.unplanned.unread, strict=True)]

    def corrected(self, there: Sequence[Attachment]) -> "PlanInput":
        """Return the same with what exists after all: `upload` adopts it and asks for its status."""
        ids = {each.attachment_id for each in there}
        rows = (
            row._replace(state=State.PROCESSING, fault=None) if row.attachment_id in ids and is_absent(row) else row
            for row in self.rows.by_token.values()
        )
        return replace(self, rows=BatchRows.of(list(rows))) if ids else self

    def adopting(self, seen: Seen | None) -> "PlanInput":
        """Return the same with what `upload` will find at the service and adopt instead of creating it."""
        if seen is None or not seen.by_token:
            return self
        tries = carried_tries(self.unfinished.items, seen.by_token, self.rows)
        items = {each.client_token: each for each in tries if is_unsent(each, self.rows)}
        taken = [
            new_row(items[token])._replace(
                state=state_when_adopted(items[token], attachment),
                attachment_id=attachment.attachment_id,
                attachment_arn=attachment.attachment_arn,
                attachment_status=attachment.status,
            )
            for token, attachment in seen.by_token.items()
            if token in items
        ]
        tokens = {row.client_token for row in taken}
        rows = [row for row in self.rows.by_token.values() if row.client_token not in tokens]
        return replace(self, rows=BatchRows.of([*rows, *taken]))


def state_when_adopted(item: Item, attachment: Attachment) -> State:
    """Return the state of an item once its attachment was found at the service."""
    state = STATE_OF_STATUS[attachment.status]
    return State.BINDING if state is State.COMPLETE and item.bind is not None else state


def invalid_actions(unread: Sequence[Unread], rows: Sequence[Known | None]) -> list[Action]:
    """Return an action for each attachment that cannot be sent. `rows` are what the ledger has of each."""
    return [
        Action(ActionKind.INVALID, listed.item_id, "", problem.message, item_of_listed(listed), row)
        for (listed, problem), row in zip(unread, rows, strict=True)
    ]


def read_plan_inputs(prepared: Prepared, settings: Settings, *, whole: bool) -> list[PlanInput]:
    """Read what the ledger holds of each lane of a manifest. `whole`: also of items that nothing is done for.

    Raises LedgerUnusable, and UsageError for a `--target` that means no lane.
    """
    parts = lane_parts(prepared, settings)
    with lane_readers(settings.ledger) as reader_of:
        return [_read_part(part, reader_of(part.target), whole=whole) for part in parts]


def _read_part(part: LanePart, reader: LedgerReader | None, *, whole: bool) -> PlanInput:
    """Read the input of one lane. `reader` is None where the ledger does not have the lane."""
    prepared, items, batch = part.prepared, part.prepared.items, part.prepared.manifest.batch
    binds = has_bind(prepared)
    if reader is None:
        return PlanInput(
            part,
            Unfinished(items=items),
            unplanned=UnplannedRows(unread=(None,) * len(prepared.unread)),
            unchosen=(None,) * len(prepared.unchosen),
        )
    if whole or prepared.problems or prepared.unchosen:
        unfinished, rows = Unfinished(items=items), reader.known(batch)
    else:
        unfinished = unfinished_items(items, reader.compare(batch, tokens_of(items), binds_of(items)))
        if binds:
            unfinished = with_bound(unfinished, items)
        shown = dict.fromkeys((*unfinished.ids, *unfinished.unlisted, *sorted(prepared.young_ids)))
        rows = reader.known_of_ids(batch, [*shown])
    ids = {row.item_id for row in rows}
    new = {item.content for item in unfinished.items if item.item_id not in ids}
    runs = reader.runs(batch, limit=RUNS_LOOKED_AT)
    return PlanInput(
        part,
        unfinished,
        BatchRows.of(rows),
        unplanned=unplanned_rows(prepared, rows),
        unchosen=rows_of_listed(prepared.unchosen, rows),
        lane=reader.lane(),
        attachments=reader.attachment_tokens(),
        is_new=reader.listed_at() is None,
        refusal=refusal_of(runs),
        rates=reader.rates(),
        twins=reader.twins(new) if new else (),
        last_run=runs[0] if runs else None,
        hold=hold_of(reader),
        bound=reader.bound(batch) if binds else (),
        definitions=reader.field_definitions(after=definitions_since(datetime.now(UTC))) if binds else {},
    )


def with_bound(unfinished: Unfinished, items: Sequence[Item]) -> Unfinished:
    """Return the same with every item that has a `bind`: a complete one may have to be bound again, or be denied."""
    ids = {item.item_id for item in unfinished.items}
    more = {item.item_id for item in items if item.bind is not None and item.item_id not in ids}
    left = tuple(item for item in items if item.item_id in ids or item.item_id in more)
    return replace(unfinished, items=left, ids=(*unfinished.ids, *sorted(more)), complete=len(items) - len(left))


def read_ledger_inputs(ledger: LedgerAddress, options: RunOptions) -> list[PlanInput]:
    """Read what a ledger holds, without a manifest: an input for each batch of each lane.

    Raises LedgerUnusable, and UsageError as `ledger_parts`.
    """
    with ledger_parts(ledger, options) as parts:
        return [_read_ledger_part(part) for part in parts]


def _read_ledger_part(part: LedgerPart) -> PlanInput:
    manifest, reader = part.manifest, part.reader
    known = reader.known(manifest.batch)
    runs = reader.runs(manifest.batch, limit=RUNS_LOOKED_AT)
    return PlanInput(
        LanePart(part.target, Prepared(manifest, ()), part.settings),
        Unfinished(),
        BatchRows.of(known),
        unplanned=UnplannedRows(unlisted=_shown(rows_by_id(known), (row.item_id for row in current_rows(known)))),
        lane=part.lane,
        refusal=refusal_of(runs),
        rates=reader.rates(),
        last_run=runs[0] if runs else None,
        hold=hold_of(reader),
        is_ledger_alone=True,
    )
