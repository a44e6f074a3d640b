"""What is known of each label's images, counted and as a table."""

import json
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from covid.data.by_class import (
    MAX_VALUES,
    TABLE_WIDTH,
    Group,
    class_table,
    group_by_class,
    read_keys,
    read_known,
)
from covid.data.index import Index, Sample

Row = tuple[str, str | None, dict[str, str]]  # label, patient, columns


def group(*rows: Row, labels: tuple[str, ...] = ("covid", "normal")) -> dict[str, Group]:
    samples = tuple(
        Sample(Path(f"{n}.png"), f"{n}.png", label, "train", patient, columns)
        for n, (label, patient, columns) in enumerate(rows)
    )
    return group_by_class(read_known(Index((Path("root"),), samples, ()), range(len(rows)), labels))


def test_what_is_counted_is_written_under_its_keys() -> None:
    groups = group(
        ("covid", "p1", {"view": " PA ", "sex": "M", "age": "040Y", "source": "cohen"}),
        ("covid", "p1", {"view": "AP", "sex": "M", "age": "50", "source": "cohen"}),
        ("covid", "p2", {"view": "PA", "sex": "", "age": "", "source": "cohen"}),
    )
    assert json.loads(json.dumps(groups["covid"].to_json())) == {
        "images": 3,
        "patients": 2,
        "view": {"PA": 2, "AP": 1},
        "sex": {"M": 2, "unknown": 1},
        "age": {"known": 2, "median": 45.0, "quartiles": [42.5, 47.5]},
        "source": {"cohen": 3},
    }


def test_what_is_not_known_is_null_or_counted_as_unknown() -> None:
    written = group(("covid", None, {}))["covid"].to_json()
    assert (written["patients"], written["view"]) == (None, {"unknown": 1})
    assert written["age"] == {"known": 0, "median": None, "quartiles": None}


def test_labels_are_in_the_order_of_the_config() -> None:
    assert list(group(("a", None, {}), ("b", None, {}), labels=("b", "a"))) == ["b", "a"]


def test_an_image_counts_for_each_of_its_labels_but_not_for_one_that_it_doubts() -> None:
    groups = group(("covid|normal", None, {}), ("covid?|normal", None, {}))
    assert [groups[label].images for label in ("covid", "normal")] == [1, 2]


def test_a_label_without_images_has_none() -> None:
    assert group(("covid", "p1", {}))["normal"].to_json()["patients"] is None


def test_many_values_are_added_up() -> None:
    rows: list[Row] = [("covid", None, {"view": f"view {n}"}) for n in range(MAX_VALUES + 3)]
    views = group(*rows, ("covid", None, {"view": ""}))["covid"].words["view"]
    assert (len(views), views["other"], views["unknown"]) == (MAX_VALUES + 2, 3, 1)


@given(st.lists(st.sampled_from(["a", "b", "a|b", "a?", "a?|b"]), max_size=20))
def test_a_label_is_borne_lacked_or_doubted(cells: list[str]) -> None:
    bears, lacks = read_keys(cells, ("a", "b"))
    assert bears.shape == lacks.shape == (len(cells), 2) and not np.any(bears & lacks)
    assert np.sum(~bears & ~lacks) == sum("a?" in cell for cell in cells)


COVID = {"view": "PA", "sex": "M", "age": "59.5", "source": "cohen"}
NORMAL = {"view": "AP", "sex": "F", "age": "45", "source": "nih"}


TABLE = """\
label   images  patients             age (quartiles)                 sex              view
------  ------  --------  --------------------------  ------------------  ----------------
covid        4         4  41 (40.5 to 41.5), 3 known  100 % M of 3 known  PA 75 %, AP 25 %
normal       2         1               45 (45 to 45)               0 % M          AP 100 %

label                     source
------  ------------------------
covid   cohen 75 %, unknown 25 %
normal                 nih 100 %"""


def test_the_table_has_one_row_per_label() -> None:
    rows: list[Row] = [("covid", f"p{n}", COVID | {"age": str(40 + n)}) for n in range(3)]
    rows += [("covid", "p3", {"view": "AP"}), ("normal", "p4", NORMAL), ("normal", "p4", NORMAL)]
    assert class_table(group(*rows)) == TABLE


def test_columns_of_which_nothing_is_known_are_left_out() -> None:
    table = class_table(group(("covid", None, {"view": "PA"}), ("normal", None, {})))
    assert table.splitlines()[0].split() == ["label", "images", "view"]


def test_where_nothing_is_known_there_is_no_table() -> None:
    assert class_table(group(("covid", None, {}), ("normal", None, {"view": " "}))) == ""


def test_patients_alone_are_worth_a_table() -> None:
    assert class_table(group(("covid", "p1", {}), ("normal", None, {}))) != ""


def test_sex_is_the_share_of_one_value_in_all_rows() -> None:
    rows: list[Row] = [("covid", None, {"sex": "F"}), *[("normal", None, {"sex": "M"})] * 3]
    rows.append(("normal", None, {"sex": "F"}))
    lines = class_table(group(*rows)).splitlines()
    assert lines[2].endswith("0 % M") and lines[3].endswith("75 % M")


def test_a_share_is_a_hundred_percent_only_where_it_is_all() -> None:
    rows: list[Row] = [("covid", None, {"source": "a"})] * 999
    table = class_table(group(*rows, ("covid", None, {"source": "b"})))
    assert "a 99 %, b 1 %" in table


def test_the_table_stays_within_a_terminal_whatever_the_values_are() -> None:
    rows: list[Row] = [
        (label, f"p{n}", {name: f"{name} " * 9 + str(n % 3) for name in ("view", "sex", "source")})
        for label in ("covid", "normal")
        for n in range(30)
    ]
    table = class_table(group(*rows, ("covid", None, {"age": "12.345"})))
    assert max(map(len, table.splitlines())) <= TABLE_WIDTH
