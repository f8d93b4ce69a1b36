"""`manifest new --bind`: each row goes into a field of its registration, and the manifest says the same again."""

from dataclasses import replace
from pathlib import Path

import pytest

from batch_upload.app.items import list_items, ready
from batch_upload.app.new_manifest import NOT_SKIPPED_HINT, NewManifest, NewManifestOptions, new_manifest
from batch_upload.errors import ManifestInvalid, UsageError
from batch_upload.manifest.from_table import WantedBind, wanted_bind
from batch_upload.manifest.new import manifest_lines
from batch_upload.model import KB
from batch_upload.registration import Bind
from batch_upload.settings import RunOptions
from batch_upload.targets import Target
from tests.support.real_documents import picture

OPT_IN = "messagingUseCase.optInImage"
SCREENSHOT = "campaignInfo.optInScreenshot"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures and a table that names them."""
    for number, name in enumerate(("a.png", "b.png")):
        (tmp_path / name).write_bytes(picture("PNG", (20 + number, 20)))
    rows = f"a.png,registration-1,{OPT_IN},Acme\nb.png,registration-1,{SCREENSHOT},Beta\n"
    (tmp_path / "c.csv").write_text(f"File,Registration ID,Field,Company\n{rows}")
    return tmp_path.resolve()


def made_of(folder: Path, bind: WantedBind | None, *, rows: bool = False) -> NewManifest:
    options = NewManifestOptions(folder=folder, batch="june", file_column="File", bind=bind, rows=rows)
    return new_manifest(folder / "c.csv", options)


def written(folder: Path, made: NewManifest) -> Path:
    path = folder / "june.yaml"
    path.write_text("".join(f"{line}\n" for line in manifest_lines(made.manifest, table=made.table)))
    return path


def grown(path: Path, size_bytes: int) -> None:
    """Append zeros, which a PNG may have behind its end."""
    content = path.read_bytes()
    path.write_bytes(content + bytes(size_bytes - len(content)))


@pytest.mark.parametrize("rows", [False, True])
def test_a_table_and_its_rows_go_into_the_same_fields(folder: Path, *, rows: bool) -> None:
    made = made_of(folder, WantedBind("{col:Field}"), rows=rows)

    items = ready(written(folder, made), RunOptions())[0].items

    assert (made.table is None) == rows
    assert [(item.source, item.bind, dict(item.tags)) for item in items] == [
        ("a.png", Bind("registration-1", OPT_IN), {"Company": "Acme"}),
        ("b.png", Bind("registration-1", SCREENSHOT), {"Company": "Beta"}),
    ]


def test_the_column_that_was_found_is_named(folder: Path) -> None:
    found = made_of(folder, WantedBind("{col:Field}"))
    given = made_of(folder, WantedBind(OPT_IN, "registration-{col:Company}"))

    assert found.notes == ["registrations are named by the column `Registration ID`"]
    assert given.notes == []


def test_the_name_of_a_column_as_the_field_is_an_error_that_shows_the_template(folder: Path) -> None:
    with pytest.raises(UsageError) as refused:
        made_of(folder, WantedBind("field"))

    assert str(refused.value) == "`--bind field` names a column, and `--bind` is for the path of a field"
    assert refused.value.hint == "`--bind '{col:Field}'` takes each row's field from it"


def test_rows_with_a_target_are_not_skipped_and_a_hint_says_so(folder: Path) -> None:
    rows = "a.png,registration-1,acme,111122223333\nb.png,,acme,\n"
    (folder / "c.csv").write_text(f"File,Registration,Customer,account\n{rows}")
    options = NewManifestOptions(
        folder=folder,
        batch="june",
        file_column="File",
        bind=WantedBind(OPT_IN),
        target_column="Customer",
        target=Target(region="us-east-1"),
    )

    hints = []
    for skips in (False, True):
        with pytest.raises(ManifestInvalid) as refused:
            new_manifest(folder / "c.csv", replace(options, skip_invalid=skips))
        hints.append(refused.value.hint)

    assert hints == ["", NOT_SKIPPED_HINT]


def test_one_field_is_for_all_and_the_other_columns_stay_tags(folder: Path) -> None:
    made = made_of(folder, WantedBind(OPT_IN, "registration-{col:Company}"), rows=False)

    text = written(folder, made).read_text()

    assert f'    bind: {{registration: "registration-{{col:Company}}", field: "{OPT_IN}"}}\n' in text
    assert '      "Registration ID": "{col:Registration ID}"\n      Field: "{col:Field}"\n' in text
    assert "Company:" not in text


def test_two_rows_for_one_field_are_a_problem_of_the_second(folder: Path) -> None:
    with pytest.raises(ManifestInvalid) as refused:
        made_of(folder, WantedBind(SCREENSHOT))

    assert [(each.code, each.at.line) for each in refused.value.problems] == [("bind-twice", 3)]
    assert (
        f"`b.png` and `a.png` in line 2 would both go into `{SCREENSHOT}` of `registration-1`"
        in refused.value.problems[0].message
    )


def test_a_row_without_a_registration_is_a_problem(folder: Path) -> None:
    (folder / "c.csv").write_text("File,registration_id\na.png,registration-1\nb.png,\n")

    with pytest.raises(ManifestInvalid) as refused:
        made_of(folder, WantedBind(OPT_IN))

    assert [(each.code, each.at.line, each.message) for each in refused.value.problems] == [
        ("bind", 3, "the column `registration_id` is empty, and `bind` needs it")
    ]


def test_without_the_option_the_column_is_a_tag_and_the_option_is_named(folder: Path) -> None:
    made = made_of(folder, None)

    assert (
        "`Registration ID`: `--bind FIELD` puts each attachment into this field of the row's registration" in made.notes
    )
    listed = list_items(written(folder, made), allow_outside=False)[1]
    assert [(each.bind, each.tags["Registration ID"]) for each in listed] == [(None, "registration-1")] * 2


@pytest.mark.parametrize(
    ("columns", "place"),
    [
        pytest.param("File,Company", "the columns are `File`, `Company`", id="none"),
        pytest.param("File,Registration,REGISTRATIONID", "it may be `Registration` or `REGISTRATIONID`", id="two"),
    ],
)
def test_which_column_has_the_registrations_is_never_guessed_among_several(
    folder: Path, columns: str, place: str
) -> None:
    (folder / "c.csv").write_text(f"{columns}\na.png,registration-1,registration-2\n")

    with pytest.raises(ManifestInvalid) as refused:
        made_of(folder, WantedBind(OPT_IN))

    assert [each.message for each in refused.value.problems] == [
        f"which column has the registrations is not known: `--bind-column NAME` names it; {place}"
    ]


@pytest.mark.parametrize(
    ("bind", "message"),
    [
        (WantedBind("no such/field"), "`--bind`: `field` must be the path of a field"),
        (WantedBind("{col:Land}"), "`--bind`: there is no column `Land`"),
        (WantedBind("{stem}"), "`--bind`: `{stem}` is not a template"),
        (WantedBind(OPT_IN, "Regis"), "`--bind-column`: there is no column `Regis`"),
    ],
)
def test_options_that_the_table_cannot_fill_are_errors(folder: Path, bind: WantedBind, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        made_of(folder, bind)

    assert refused.value.message.startswith(message)


def test_the_form_of_each_row_s_field_limits_its_file(folder: Path) -> None:
    for name in ("a.png", "b.png"):
        grown(folder / name, 450 * KB)

    with pytest.raises(ManifestInvalid) as refused:
        made_of(folder, WantedBind("{col:Field}"))
    made = made_of(folder, WantedBind("{col:Field}", max_size_bytes=460 * KB))

    (problem,) = refused.value.problems
    assert (problem.code, problem.at.line) == ("too-large", 2)
    assert "`us-toll-free-opt-in`" in problem.message
    assert {item.max_size_bytes for item in ready(written(folder, made), RunOptions())[0].items} == {460 * KB}


def test_options_that_do_not_go_together_are_refused() -> None:
    with pytest.raises(UsageError, match="`--bind-column` goes with `--bind FIELD` only"):
        wanted_bind(None, "Registration", form=None, max_size_bytes=None)
    with pytest.raises(UsageError, match="do not go together: the field's is `us-toll-free-opt-in`"):
        wanted_bind(OPT_IN, None, form="rcs-logo", max_size_bytes=None)
    assert wanted_bind(OPT_IN, None, form="us-toll-free-opt-in", max_size_bytes=None) == WantedBind(OPT_IN)
    assert wanted_bind("senderIdInfo.letterOfAuthorization", None, form="sender-id-letter", max_size_bytes=1)
    assert wanted_bind(None, None, form=None, max_size_bytes=1) is None


def test_a_folder_has_no_registrations(folder: Path) -> None:
    with pytest.raises(UsageError, match="are for a table, and this is a folder"):
        new_manifest(folder, NewManifestOptions(folder=folder, bind=WantedBind(OPT_IN)))
