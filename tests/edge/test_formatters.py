"""Predictions as text: what programs read back, and what people see."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from covid.edge.formatters import csv_rows, json_rows, table_rows
from covid.edge.predict import Prediction
from covid.edge.progress import draw_bar
from tests.edge.networks import CARD

SOUND = Prediction(
    Path("a/b.png"), {"covid": 0.75, "normal": 0.25, "pneumonia": 1 / 3}, ("covid", "pneumonia")
)
NOTHING = Prediction(Path("c.png"), {"covid": 0.1, "normal": 0.1, "pneumonia": 0.1}, ())
BROKEN = Prediction(Path("d.png"), {}, (), "d.png: is empty (0 bytes).")
EVERY = [SOUND, NOTHING, BROKEN]
FAMILIAR = replace(SOUND, novelty=1.0625)
STRANGE = replace(SOUND, novelty=12.5, unfamiliar=("colour", "novelty"))
REFUSED = replace(STRANGE, labels=(), refused=True)

names = st.text(st.characters(exclude_characters="/\0"), min_size=1).filter(
    lambda name: name not in (".", "..")
)


def read_csv(predictions: list[Prediction]) -> list[dict[str, str]]:
    text = "".join(csv_rows(CARD.space, predictions))
    return list(csv.DictReader(io.StringIO(text, newline="")))


def table(
    predictions: list[Prediction], line: int | None = None, *, novelty: bool = False
) -> list[str]:
    def bar(share: float, width: int) -> str:
        return draw_bar(share, width, "utf-8")

    paths = [prediction.path for prediction in predictions]
    return list(table_rows(CARD.space, predictions, paths, bar, line=line, novelty=novelty))


# CSV ----------------------------------------------------------------------------------------


def test_a_csv_has_the_columns_of_the_contract() -> None:
    assert list(read_csv(EVERY)[0]) == [
        "path", "probability_covid", "probability_normal", "probability_pneumonia", "predicted",
        "novelty", "unfamiliar", "error",
    ]  # fmt: skip


def test_a_csv_s_probabilities_have_six_decimals_and_labels_a_plus() -> None:
    assert list(read_csv(EVERY)[0].values()) == [
        "a/b.png", "0.750000", "0.250000", "0.333333", "covid+pneumonia", "", "", "",
    ]  # fmt: skip


def test_a_csv_s_row_of_a_bad_file_has_its_error_alone() -> None:
    assert list(read_csv(EVERY)[2].values()) == ["d.png", "", "", "", "", "", "", BROKEN.error]


@given(names)
@example("carriage\rreturn, \"quote\"\nline")
def test_a_csv_gives_every_path_back(name: str) -> None:
    path = read_csv([Prediction(Path(name), SOUND.probabilities, ())])[0]["path"]
    assert path.removeprefix("'") == name.removeprefix("'")


def test_a_csv_s_rows_come_one_by_one() -> None:
    taken = []

    def predictions() -> Iterator[Prediction]:
        for one in EVERY:
            taken.append(one)
            yield one

    rows = csv_rows(CARD.space, predictions())
    next(rows), next(rows)
    assert taken == [SOUND]


# JSON ---------------------------------------------------------------------------------------


def test_json_is_a_list_of_objects() -> None:
    assert json.loads("".join(json_rows(EVERY))) == [
        {
            "path": "a/b.png",
            "probability": {"covid": 0.75, "normal": 0.25, "pneumonia": 0.333333},
            "predicted": ["covid", "pneumonia"],
            "novelty": None,
            "unfamiliar": None,
            "error": None,
        },
        {
            "path": "c.png",
            "probability": {"covid": 0.1, "normal": 0.1, "pneumonia": 0.1},
            "predicted": [],
            "novelty": None,
            "unfamiliar": None,
            "error": None,
        },
        {
            "path": "d.png",
            "probability": None,
            "predicted": None,
            "novelty": None,
            "unfamiliar": None,
            "error": BROKEN.error,
        },
    ]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_json_is_whole_wherever_the_predictions_end(count: int) -> None:
    assert len(json.loads("".join(json_rows(EVERY[:count])))) == count


@given(names)
def test_json_gives_every_path_back_in_any_encoding(name: str) -> None:
    text = "".join(json_rows([Prediction(Path(name), SOUND.probabilities, ())]))
    assert json.loads(text.encode("ascii"))[0]["path"] == name


# The table ----------------------------------------------------------------------------------


def test_a_table_lines_up() -> None:
    assert table(EVERY) == [
        "image    covid           normal          pneumonia       predicted\n",
        "a/b.png  0.750 ██████░░  0.250 ██░░░░░░  0.333 ███░░░░░  covid+pneumonia\n",
        "c.png    0.100 █░░░░░░░  0.100 █░░░░░░░  0.100 █░░░░░░░  -\n",
        "d.png    unreadable: is empty (0 bytes).\n",
    ]


@pytest.mark.parametrize("line", [90, 100, 120])
def test_a_long_path_shows_its_end_where_the_line_is_short(line: int) -> None:
    long = Prediction(Path("folder/" * 20 + "image.png"), SOUND.probabilities, SOUND.labels)
    shown = table([long], line=line)[1].rstrip("\n")
    assert shown.startswith("...") and "/image.png  0.750 " in shown
    assert len(shown) == line


def test_a_path_is_never_cut_to_nothing() -> None:
    long = Prediction(Path("folder/" * 20 + "image.png"), SOUND.probabilities, SOUND.labels)
    assert table([long], line=10)[1].startswith("...image.png  0.750")


def test_a_path_is_whole_where_nobody_limits_the_line() -> None:
    long = Prediction(Path("folder/" * 20 + "image.png"), SOUND.probabilities, ())
    assert table([long])[1].startswith(f"{long.path}  0.750")


def test_a_path_that_would_command_the_terminal_is_only_shown() -> None:
    odd = Prediction(Path("a\x1b[2J\nb.png"), SOUND.probabilities, ())
    assert table([odd])[1].startswith("a?[2J?b.png  ")


# Unfamiliar images --------------------------------------------------------------------------


def test_a_csv_says_how_novel_an_image_is_and_why_it_is_unfamiliar() -> None:
    rows = read_csv([FAMILIAR, STRANGE, REFUSED])
    assert [row["novelty"] for row in rows] == ["1.0625", "12.5", "12.5"]
    assert [row["unfamiliar"] for row in rows] == ["", "colour+novelty", "colour+novelty"]
    assert [row["predicted"] for row in rows] == ["covid+pneumonia", "covid+pneumonia", ""]


def test_json_says_how_novel_an_image_is_and_why_it_is_unfamiliar() -> None:
    rows = json.loads("".join(json_rows([FAMILIAR, STRANGE, REFUSED])))
    assert [row["novelty"] for row in rows] == [1.0625, 12.5, 12.5]
    assert [row["unfamiliar"] for row in rows] == [[], ["colour", "novelty"], ["colour", "novelty"]]
    assert rows[1]["predicted"] == ["covid", "pneumonia"] and rows[2]["predicted"] is None


def test_a_table_says_after_the_decision_why_an_image_is_unfamiliar() -> None:
    header, *lines = table([FAMILIAR, STRANGE, REFUSED], novelty=True)
    assert header.endswith("pneumonia       novelty  predicted\n")
    assert [line.partition("███░░░░░  ")[2] for line in lines] == [
        "   1.06  covid+pneumonia\n",
        "  12.50  covid+pneumonia  unfamiliar: colour+novelty\n",
        "  12.50  refused  unfamiliar: colour+novelty\n",
    ]


def test_a_table_with_novelty_fits_the_line() -> None:
    long = replace(FAMILIAR, path=Path("folder/" * 20 + "image.png"))
    assert len(table([long], line=120, novelty=True)[1].rstrip("\n")) == 120
