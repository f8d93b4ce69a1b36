"""CPU and memory of reading and checking a table, beside the bare YAML events of the same list.

    python -m benchmarks.tables [--rows 100000]

Each row has a file, an id and two tags. Every way reads its file in its own process. Time is CPU, the best of several;
memory is the most that the process had, less what it had before it began.
"""

import argparse
import csv
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import openpyxl

from benchmarks.manifest import Ways, list_all, measure_here, measured, print_table, take_events

HEAD = "version: 1\nbatch: acme-2026\nattachments:\n"
TABLE = HEAD + (
    "  - table: {name}\n"
    '    file: "files/{{col:File Name}}"\n'
    '    id: "customer-{{col:Number}}/letter"\n'
    '    tags: {{Customer: "{{col:Company}}", Country: "{{col:Country}}"}}\n'
)
BOUND = TABLE + '    bind: {{registration: "registration-{{col:Number}}", field: messagingUseCase.optInImage}}\n'
COLUMNS = ("File Name", "Number", "Company", "Country")


def rows(count: int) -> Iterator[tuple[str, ...]]:
    """So many rows, 1,000 files in each folder, of 977 companies."""
    for n in range(count):
        yield f"{n // 1_000:04}/customer-{n:07}.pdf", str(n), f"Company {n % 977}", "NO"


def write_files(folder: Path, count: int) -> dict[str, Path]:
    """Write the same list as YAML, and as each kind of table with the manifest that names it. Return them by way."""
    made = {way: folder / f"{way}.yaml" for way in ("events", "csv", "bound", "jsonl", "xlsx")}
    with made["events"].open("w", encoding="utf-8") as file:
        file.write(HEAD)
        for name, number, company, country in rows(count):
            file.write(f"  - id: customer-{number}/letter\n    file: files/{name}\n")
            file.write(f'    tags: {{Customer: {company}, Country: "{country}"}}\n')
    for way in ("csv", "jsonl", "xlsx"):
        made[way].write_text(TABLE.format(name=f"t.{way}"), encoding="utf-8")
    made["bound"].write_text(BOUND.format(name="t.csv"), encoding="utf-8")
    with (folder / "t.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows(count)])
    with (folder / "t.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(f"{json.dumps(dict(zip(COLUMNS, row, strict=True)))}\n" for row in rows(count))
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for row in (COLUMNS, *rows(count)):
        sheet.append(row)
    book.save(folder / "t.xlsx")
    return made


WAYS: Ways = {
    "events": ("PyYAML's C events of the same list, bare", take_events),
    "csv": ("CSV, read, checked, expanded", list_all),
    "bound": ("the same, each row with a field of a registration", list_all),
    "jsonl": ("JSON Lines, read, checked, expanded", list_all),
    "xlsx": (".xlsx, read, checked, expanded", list_all),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--way", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        measure_here(WAYS, Path(arguments.way[1]), arguments.way[0])
        return
    with tempfile.TemporaryDirectory() as folder:
        files = write_files(Path(folder), arguments.rows)
        best = {
            way: min(measured("benchmarks.tables", files[way], way) for _ in range(arguments.times)) for way in WAYS
        }
    print(f"{arguments.rows:,} rows\n")
    print_table(WAYS, best)


if __name__ == "__main__":
    main()
