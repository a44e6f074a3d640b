"""The table of what was read, and the sentence for patients in two splits."""

from covid.collections.collection import Row
from covid.collections.summary import overlap_note, summary_table


def test_labels_are_counted_per_split_and_patients_once() -> None:
    rows = [
        Row("a", "Edema|Mass", "train", "1"), Row("b", "Edema", "train", "1"),
        Row("c", "Mass", "test", "2"), Row("d", "Edema", "test", "3"),
    ]  # fmt: skip
    assert summary_table(rows).splitlines() == [
        "label       train  test  all",
        "----------  -----  ----  ---",
        "Edema           2     1    3",
        "Mass            1     1    2",
        "all images      2     2    4",
        "patients        1     2    3",
    ]


def test_without_splits_and_patients_one_column_is_left() -> None:
    assert summary_table([Row("a", "Normal"), Row("b", "Normal")]).splitlines() == [
        "label       images",
        "----------  ------",
        "Normal           2",
        "all images       2",
    ]


def test_labels_in_doubt_are_counted_beside() -> None:
    rows = [Row("a", "Edema?|Mass"), Row("b", "Edema"), Row("c", "Hernia?")]
    lines = [line.split() for line in summary_table(rows).splitlines()]
    assert lines[0] == ["label", "images", "in", "doubt"]
    assert lines[2:] == [
        ["Edema", "1", "1"], ["Mass", "1", "0"], ["Hernia", "0", "1"], ["all", "images", "3"],
    ]  # fmt: skip


def test_patients_in_two_splits_are_told_with_counts_and_a_way_out() -> None:
    rows = [
        Row("a", "x", "train", "1"), Row("b", "x", "test", "1"), Row("c", "x", "test", "1"),
        Row("d", "x", "test", "2"), Row("e", "x", "train"), Row("f", "x", "test"),
    ]  # fmt: skip
    sentence = overlap_note(rows)
    assert sentence is not None and sentence.startswith("1 patient with 3 images stands in more")
    assert "data.allow_patient_overlap=true" in sentence


def test_patients_of_one_split_each_are_no_overlap() -> None:
    assert overlap_note([Row("a", "x", "train", "1"), Row("b", "x", "test", "2")]) is None
