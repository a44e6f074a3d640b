"""What was read of a collection, to be read aloud: a table, and patients in two splits."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from covid.collections.collection import SPLITS, Row, counted, some
from covid.edge.formatters import printable
from covid.edge.table import format_table

DOUBT = "?"  # ends the name of a label in doubt


def summary_table(rows: Sequence[Row]) -> str:
    """Images of every label, most frequent first, in every split; then all images and patients.

    Labels in doubt are counted beside, in a column of their own.
    """
    splits = [split for split in SPLITS if any(row.split == split for row in rows)]
    columns = [*splits, "all"] if splits else ["images"]
    images: dict[str, Counter[str]] = defaultdict(Counter)
    doubtful: Counter[str] = Counter()
    patients: dict[str, set[str]] = defaultdict(set)
    total: Counter[str] = Counter()
    for row in rows:
        places = {row.split, columns[-1]}
        total.update(places)
        for label in row.label.split("|"):
            name = label.removesuffix(DOUBT)
            doubtful[name] += label != name
            images[name].update(places if label == name else ())
        for place in places if row.patient else ():
            patients[place].add(row.patient)
    last = columns[-1]
    lines = []
    for name in sorted(images, key=lambda name: (-images[name][last], name)):
        counts = [images[name][column] for column in columns] + [doubtful[name]]
        lines.append([printable(name), *(f"{count:,}" for count in counts)])
    lines.append(["all images", *(f"{total[column]:,}" for column in columns), ""])
    if patients:
        lines.append(["patients", *(f"{len(patients[column]):,}" for column in columns), ""])
    header = ["label", *columns, "in doubt"]
    if not any(doubtful.values()):
        header, lines = header[:-1], [line[:-1] for line in lines]
    return format_table(header, lines)


def overlap_note(rows: Sequence[Row]) -> str | None:
    """The sentence for patients in several splits, None where there is none."""
    splits = defaultdict(set)
    images: Counter[str] = Counter()
    for row in rows:
        if row.patient and row.split:
            splits[row.patient].add(row.split)
            images[row.patient] += 1
    several = sorted(patient for patient, names in splits.items() if len(names) > 1)
    if not several:
        return None
    affected = sum(images[patient] for patient in several)
    stand = "stands" if len(several) == 1 else "stand"
    return (
        f"{counted(len(several), 'patient')} with {counted(affected, 'image')} {stand} in more "
        f"than one of the collection's splits ({some(several)}), which training refuses: set "
        f"data.allow_patient_overlap=true to keep the published split, or give each patient one "
        f"split in manifest.csv."
    )
