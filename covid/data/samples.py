"""samples.csv: which images a run is about, what their pixels were, and the split of each.

A run writes it before the first step, and again only where it goes on with other images. Whoever
evaluates the run later takes the splits from there, by name where the images lie as they did and by
content where they have moved, so that no image changes its split, and none that was trained on is
taken for another.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path

from covid.data.cache import Original
from covid.data.index import UNSPLIT, Index, Sample, some
from covid.edge.images import read_header
from covid.edge.table import csv_line, plain_cell
from covid.errors import DataError, ImageError, RunError

FILE = "samples.csv"
# The split of an image that was trained on before it was taken out of a run that went on.
REMOVED = "removed"


@dataclass(frozen=True)
class Row:
    """One image of a run; what is not known is empty."""

    path: str  # below its root, as `Sample.name`
    label: str
    split: str
    patient: str
    source: str
    width: int  # of the grey image before resizing, like the next two
    height: int
    content: str  # SHA-256 of its bytes, hexadecimal


COLUMNS = tuple(field.name for field in fields(Row))


def rows_of(index: Index, originals: Mapping[int, Original]) -> list[Row]:
    """A row for each image whose content is known, by index of the sample, in that order."""
    rows = []
    for i in sorted(originals):
        sample, original = index.samples[i], originals[i]
        patient, source = sample.patient or "", sample.columns.get("source", "")
        rows.append(
            Row(written_name(sample), sample.label, sample.split, patient, source, original.width,
                original.height, original.content)
        )  # fmt: skip
    return rows


def written_name(sample: Sample) -> str:
    """A sample's name as a file of ours holds it: Linux allows names that UTF-8 cannot write."""
    return sample.name.encode(errors="backslashreplace").decode()


def to_csv(rows: Iterable[Row]) -> str:
    """The content of samples.csv."""
    lines = [csv_line(COLUMNS)]
    lines += [csv_line(str(getattr(row, name)) for name in COLUMNS) for row in rows]
    return "".join(lines)


def digest(rows: Iterable[Row]) -> str:
    """SHA-256 of the rows as samples.csv has them, which `sha256sum samples.csv` gives too."""
    return hashlib.sha256(to_csv(rows).encode(errors="backslashreplace")).hexdigest()


def read_rows(folder: Path) -> list[Row] | None:
    """What a run's samples.csv says; None where it has none. Raises RunError for a damaged one."""
    path = folder / FILE
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            cells = [[plain_cell(cell) for cell in row] for row in reader]
        if tuple(header) != COLUMNS:
            raise ValueError
        return [
            Row(name, label, split, patient, source, int(width), int(height), content)
            for name, label, split, patient, source, width, height, content in cells
        ]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, csv.Error):
        raise RunError(
            f"{path}: cannot be read as the table that train.py writes; put it back as it was, or "
            f"train anew."
        ) from None


def another_list(run: Path) -> str:
    """The sentence for a samples.csv whose digest the network does not bear."""
    return (
        f"{run}: {FILE} is not the one that best.safetensors was trained on; the run went on with "
        f"changed images, or a file was replaced."
    )


def rows_for_file(path: Path, trained_on_sha256: str | None) -> list[Row] | None:
    """The samples.csv that an ONNX file's card names, where it lies beside or above; else None."""
    for folder in (path.absolute().parent, path.absolute().parent.parent):
        if trained_on_sha256 and (folder / FILE).is_file():
            rows = read_rows(folder)
            if rows is not None and digest(rows) == trained_on_sha256:
                return rows
    return None


def keep_splits(index: Index, rows: Sequence[Row]) -> Index:
    """For a run that goes on: images without a split get the one they had, and new ones `train`.

    A new image of a known patient goes where the patient is. So nothing moves to where it was
    not, and nothing that was held out is trained on.
    """
    of_image = {row.path: row.split for row in present(rows)}
    of_patient = {row.patient: row.split for row in present(rows) if row.patient}
    return index.with_splits(
        sample.split
        if sample.split != UNSPLIT
        else of_image.get(written_name(sample), of_patient.get(sample.patient or "", "train"))
        for sample in index.samples
    )


def changes(before: Sequence[Row], now: Sequence[Row]) -> str | None:
    """What of a run's images is another now, for a sentence; None where all are the same.

    Changed is an image whose pixels, label, patient or split are others.
    """
    old, new = ({row.path: _meaning(row) for row in present(rows)} for rows in (before, now))
    parts = [
        f"{len(paths):,} {what} ({some(paths)})"
        for paths, what in (
            (sorted(new.keys() - old.keys()), "added"),
            (sorted(old.keys() - new.keys()), "removed"),
            (sorted(name for name in old.keys() & new.keys() if old[name] != new[name]), "changed"),
        )
        if paths
    ]
    return ", ".join(parts) or None


def present(rows: Sequence[Row]) -> list[Row]:
    """Without those that are only remembered."""
    return [row for row in rows if row.split != REMOVED]


def remembered(before: Sequence[Row], now: Sequence[Row]) -> list[Row]:
    """Rows of images, by content, that were trained on and are trained on no more."""
    trained = {row.content for row in now if row.split == "train"}
    return [replace(row, split=REMOVED) for row in _trained(before) if row.content not in trained]


def _trained(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.split in ("train", REMOVED)]


def held_out_now(before: Sequence[Row], now: Sequence[Row]) -> list[str]:
    """The names of images, by content, that were trained on and now stand in another split."""
    trained = {row.content for row in _trained(before)}
    return [row.path for row in now if row.split != "train" and row.content in trained]


def _meaning(row: Row) -> tuple[str, ...]:
    return row.content, row.label, row.patient, row.split


def own_images(index: Index, rows: Sequence[Row]) -> Index:
    """The run's images where they always lay, in the run's splits; images it did not know in none.

    Raises DataError where one of them is not there any more.
    """
    rows = present(rows)
    splits = {row.path: row.split for row in rows}
    said = {row.path: (row.label, row.patient) for row in rows}
    others = [
        sample.name
        for sample in index.samples
        if said.get(written_name(sample), (sample.label, sample.patient or ""))
        != (sample.label, sample.patient or "")
    ]
    if others:
        index = index.with_warning(
            f"{index.root}: {len(others):,} images bear another label or patient than when the "
            f"run was trained ({some(others)}); what they bear now counts."
        )
    absent = splits.keys() - {written_name(sample) for sample in index.samples}
    if absent:
        raise DataError(
            f"{index.root}: {len(absent):,} of the run's {len(splits):,} images are not there "
            f"({some(sorted(absent))}); put them back, or name their folder with --data FOLDER."
        )
    names = [written_name(sample) for sample in index.samples]
    return _in_splits(index, [splits.get(name, UNSPLIT) for name in names])


def may_hold(index: Index, rows: Sequence[Row]) -> bool:
    """Whether all of the run's images can be among those of `index`, by their sizes.

    Headers say so, and no picture is decoded: a large set of others is seen to be that in seconds.
    """
    rows = present(rows)
    if len(index.samples) < len(rows):
        return False
    sizes: Counter[tuple[int, ...]] = Counter()
    for sample in index.samples:
        with suppress(ImageError):  # who reads it learns what is wrong
            header = read_header(sample.path)
            sizes[tuple(sorted((header.width, header.height)))] += 1  # upright or as stored
    return sizes >= Counter(tuple(sorted((row.width, row.height))) for row in rows)


def moved_images(
    index: Index, originals: Mapping[int, Original], rows: Sequence[Row]
) -> Index | None:
    """As `own_images`, wherever they lie and whatever they are called: by content.

    None where one of the run's images is not among those of `index`.
    """
    rows = present(rows)
    splits: dict[str, list[Row]] = {}
    for row in rows:
        splits.setdefault(row.content, []).append(row)
    taken: dict[str, set[int]] = {}
    chosen = [UNSPLIT] * len(index.samples)
    # The same picture may stand in a run several times, even in two splits where that was allowed:
    # the one of the same name is meant, or else the next.
    for same_name in (True, False):
        for i, original in originals.items():
            used = taken.setdefault(original.content, set())
            for place, row in enumerate(splits.get(original.content, ())):
                name = written_name(index.samples[i])
                if chosen[i] == UNSPLIT and place not in used and same_name <= (row.path == name):
                    chosen[i] = row.split
                    used.add(place)
    if sum(map(len, taken.values())) < len(rows):
        return None
    return _in_splits(index, chosen)


def _in_splits(index: Index, splits: Sequence[str]) -> Index:
    placed = index.with_splits(splits)
    others = [sample.name for sample in placed.samples if sample.split == UNSPLIT]
    if not others:
        return placed
    return placed.with_warning(
        f"{index.root}: {len(others):,} images are not among the run's and are left out "
        f"({some(others)})."
    )


def require_unchanged(index: Index, originals: Mapping[int, Original], rows: Sequence[Row]) -> None:
    """Raises DataError where an image, by its name, has other pixels than the run saw."""
    contents = {row.path: row.content for row in present(rows)}
    changed = [
        index.samples[i].name
        for i, original in sorted(originals.items())
        if contents.get(written_name(index.samples[i]), original.content) != original.content
    ]
    if changed:
        raise DataError(
            f"{index.root}: {len(changed):,} images have other pixels than when the run was "
            f"trained ({some(changed)}); put them back as they were."
        )


def seen_in_training(
    index: Index, originals: Mapping[int, Original], rows: Sequence[Row]
) -> list[str]:
    """The names of images that, by content, are among those that the run was trained on."""
    trained = {row.content for row in _trained(rows)}
    return [index.samples[i].name for i, o in sorted(originals.items()) if o.content in trained]
