"""The manifest is read back as it was meant; what others wrote stays as it was."""

from pathlib import Path

import pytest

from covid.collections import COLLECTIONS
from covid.collections.collection import Row
from covid.collections.files import manifest_text, source_text, write_files
from covid.data.source import load_index
from covid.errors import DataError, StorageError
from tests.collections.layout import touch

NIH14 = COLLECTIONS["nih14"]
MANIFEST = manifest_text([Row("a.png", "Edema")])


def source(manifest: str) -> str:
    return source_text(NIH14, "label  images", ["One note.", "Another."], manifest)


def test_columns_that_no_row_knows_are_left_out() -> None:
    rows = [Row("b.png", "Edema", age="63"), Row("a.png", "No Finding")]
    assert manifest_text(rows) == "path,label,age\na.png,No Finding,\nb.png,Edema,63\n"


@pytest.mark.parametrize(
    "name", ["a.png", "-1.png", "=cmd.png", "+a/b.png", "@a.png", " a.png", "a, b.png",
             'say "a".png', "two\nlines.png", "two\rlines.png", "grüß.png"],
)  # fmt: skip
def test_odd_names_are_read_back_exactly(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name)
    rows = [Row(name, "-1", "test", patient="-7", age="63", mask=name)]
    (tmp_path / "manifest.csv").write_text(manifest_text(rows), newline="")
    (sample,) = load_index(tmp_path, ["-1"]).samples
    assert (sample.name, sample.label, sample.patient) == (name, "-1", "-7")
    assert sample.path.is_file() and (tmp_path / sample.columns["mask"]).is_file()


def test_no_cell_starts_a_formula() -> None:
    text = manifest_text([Row("=a.png", "=b", patient="=c", source="=d")])
    assert text.splitlines()[1] == "./=a.png, =b, =c, =d"


@pytest.mark.parametrize("name", ["a\\b.png", "c:d.png", "\udcff.png"])
def test_a_name_that_a_manifest_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="rename the file"):
        manifest_text([Row(name, "Edema")])


def test_source_md_says_whose_the_images_are(tmp_path: Path) -> None:
    write_files(tmp_path, MANIFEST, source(MANIFEST))
    text = (tmp_path / "SOURCE.md").read_text()
    for part in (NIH14.title, NIH14.address, NIH14.terms, NIH14.citation, "- One note.\n"):
        assert part in text


def test_its_own_files_are_replaced(tmp_path: Path) -> None:
    write_files(tmp_path, MANIFEST, source(MANIFEST))
    other = manifest_text([Row("b.png", "Mass")])
    write_files(tmp_path, other, source(other))
    assert (tmp_path / "manifest.csv").read_text() == other


def test_a_manifest_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,label\nmine.png,x\n")
    with pytest.raises(DataError, match="was not written by prepare.py"):
        write_files(tmp_path, MANIFEST, source(MANIFEST))
    assert "mine.png" in (tmp_path / "manifest.csv").read_text()
    assert not (tmp_path / "SOURCE.md").exists()


def test_a_manifest_that_was_changed_by_hand_stays(tmp_path: Path) -> None:
    write_files(tmp_path, MANIFEST, source(MANIFEST))
    (tmp_path / "manifest.csv").write_text("path,label\na.png,Mass\n")
    with pytest.raises(DataError, match="changed since"):
        write_files(tmp_path, MANIFEST + "b.png,Mass\n", source(MANIFEST))
    assert "Mass" in (tmp_path / "manifest.csv").read_text()


def test_a_manifest_that_was_written_before_an_interruption_is_taken_up(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(MANIFEST)  # SOURCE.md was not written any more
    write_files(tmp_path, MANIFEST, source(MANIFEST))
    assert (tmp_path / "SOURCE.md").is_file()


def test_a_source_md_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / "SOURCE.md").write_text("mine")
    with pytest.raises(DataError, match=r"SOURCE\.md: was not written by prepare\.py"):
        write_files(tmp_path, MANIFEST, source(MANIFEST))
    assert (tmp_path / "SOURCE.md").read_text() == "mine"
    assert not (tmp_path / "manifest.csv").exists()


def test_a_folder_in_the_manifest_s_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").mkdir()
    with pytest.raises((DataError, StorageError), match=r"manifest\.csv"):
        write_files(tmp_path, MANIFEST, source(MANIFEST))
