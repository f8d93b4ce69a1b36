"""The page as it is now, in one file, for `report --format html`."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime

from batch_upload.app.ledger_view import LedgerView
from batch_upload.escape import printable
from batch_upload.ledger import find_reader
from batch_upload.report.page.board import json_chunks
from batch_upload.report.page.document import document
from batch_upload.report.summary_text import Invocation
from batch_upload.watch.lanes_page import LanesPage, PageOfLane, pages_of_lanes
from batch_upload.watch.page import Page, title_of


def still_page_of_lanes(lanes: Sequence[PageOfLane], invocation: Invocation) -> tuple[LanesPage, Iterator[str]]:
    """Return the page of several lanes as it is now, and the pieces of its one file."""
    page = LanesPage.of(lanes, invocation, at=datetime.now(UTC))
    title = printable(f"{page.board.head['batch']} · batch-upload")
    return page, document(json_chunks(page.board.since(0)), title=title, live=False)


def still_page(found: LedgerView, invocation: Invocation) -> tuple[Page, Iterator[str]]:
    """Return the page as it is now, and the pieces of its one file."""
    with ExitStack() as closing:
        reader = find_reader(found.settings.ledger)
        page = Page.of(found, invocation, closing.enter_context(reader) if reader else None, at=datetime.now(UTC))
    return page, document(json_chunks(page.board.since(0)), title=title_of(found), live=False)


def still_page_of_manifest(
    found: Sequence[LedgerView], invocation: Invocation
) -> tuple[Page | LanesPage, Iterator[str]]:
    """Return the page of all lanes of a manifest as it is now, and the pieces of its one file."""
    if len(found) == 1 and found[0].target.label is None:
        return still_page(found[0], invocation)
    with ExitStack() as closing:
        reader = find_reader(found[0].settings.ledger)
        opened = closing.enter_context(reader) if reader else None
        return still_page_of_lanes(pages_of_lanes(found, opened), invocation)
