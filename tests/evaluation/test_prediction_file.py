"""predictions.csv: what is read is what was written, to the digit, and anything else is refused."""

import csv
import io
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covid.edge.labels import LabelSpace
from covid.errors import DataError
from covid.evaluation.metrics import compute_metrics
from covid.evaluation.prediction_file import PredictionFile, predictions_csv, read_predictions
from covid.evaluation.report import Evaluation
from tests.evaluation.examples import MULTILABEL, Evaluated, any_doubts

HEADER = "path,label,probability_a,probability_b,predicted,correct,target_a,target_b"
ROW = "x.png,a,0.75,0.25,a,true,1,0"
FILE = PredictionFile(
    classes=("a", "b"),
    names=("=cmd.png", 'two "lines"\r\n, one name.png', "c.png"),
    cells=("a|b?", "none", "none?"),
    probabilities=np.array([[0.75, 0.1], [1 / 3, 0], [1, 1e-9]], dtype=np.float32),
    targets=np.array([[1, np.nan], [0, 0], [np.nan, np.nan]], dtype=np.float32),
    decisions=np.array([[1, 1], [0, 0], [1, 0]], dtype=bool),
    patients=("-7", None, "p"),
    sources=("clinic", "", "a,b"),
    folds=("1", "2", "10"),
)


def written(folder: Path, text: str) -> Path:
    path = folder / "predictions.csv"
    path.write_bytes(text.encode())
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    read = read_predictions(written(tmp_path, predictions_csv(FILE)))
    for field in fields(FILE):
        expected, actual = getattr(FILE, field.name), getattr(read, field.name)
        np.testing.assert_array_equal(actual, expected, strict=isinstance(expected, np.ndarray))


def test_columns_stand_in_their_order_and_what_is_not_known_is_empty() -> None:
    unknown = replace(FILE, folds=None)
    rows = list(csv.DictReader(io.StringIO(predictions_csv(unknown), newline="")))
    assert ",".join(rows[0]) == f"{HEADER},patient,source,fold"
    assert [list(row.values())[4:] for row in rows] == [
        ["a+b", "true", "1", "", "'-7", "clinic", ""],
        ["", "true", "0", "0", "", "", ""],
        ["a", "", "", "", "p", "a,b", ""],
    ]


def test_a_name_that_a_spreadsheet_would_run_becomes_text() -> None:
    assert predictions_csv(FILE).splitlines()[1].startswith("'=cmd.png,a|b?,0.75,0.100000001,")


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20))
def test_every_probability_is_read_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    probabilities = np.array(values, dtype=np.float32)[:, None]
    images = len(values)
    file = PredictionFile(
        ("a",), tuple(f"{n}.png" for n in range(images)), ("a",) * images, probabilities,
        np.ones_like(probabilities), probabilities >= 0.5, (None,) * images, ("",) * images,
    )  # fmt: skip
    path = written(tmp_path_factory.getbasetemp(), predictions_csv(file))
    assert np.array_equal(read_predictions(path).probabilities, probabilities)


@given(any_doubts(), st.data())
@settings(max_examples=30)
def test_every_figure_can_be_computed_again_from_the_file_to_the_digit(
    tmp_path_factory: pytest.TempPathFactory,
    doubts: tuple[LabelSpace, Evaluated, npt.NDArray[np.bool_]],
    data: st.DataObject,
) -> None:
    space, (tenths, targets, patients), known = doubts
    if space.thresholds is not None:
        space = space.with_thresholds({name: 0.3 + n / 7 for n, name in enumerate(space.classes)})
    noise = data.draw(st.integers(0, 1000).map(lambda n: n / 7001))
    evaluation = Evaluation(
        title="", about={}, space=space, probabilities=tenths * np.float32(0.8) + np.float32(noise),
        targets=np.where(known, targets, np.nan), patients=patients,
        names=[f"{n}.png" for n in range(len(targets))], cells=["some"] * len(targets),
        columns=[{}] * len(targets),
        folds=data.draw(st.none() | st.just([str(n % 11) for n in range(len(targets))])),
    )  # fmt: skip

    def metrics_of(
        space: LabelSpace, images: Evaluation | PredictionFile
    ) -> str:
        return json.dumps(compute_metrics(
            space, images.probabilities, images.targets, images.patients, folds=images.folds,
            resamples=20,
        ))  # fmt: skip

    said = metrics_of(space, evaluation)
    text = predictions_csv(evaluation.prediction_file)
    file = read_predictions(written(tmp_path_factory.getbasetemp(), text))
    own = {name: row["threshold"] for name, row in json.loads(said)["per_class"].items()}
    again = space if space.thresholds is None else MULTILABEL.with_thresholds(own)
    assert metrics_of(again, file) == said
    assert np.array_equal(again.decide(file.probabilities), file.decisions)


def test_a_file_of_an_earlier_version_is_read_and_said_to_be_one(tmp_path: Path) -> None:
    file = read_predictions(written(tmp_path, f"{HEADER}\n{ROW}\n"))
    assert (file.earlier, file.patients, file.sources, file.folds) == (True, (None,), ("",), None)
    assert file.probabilities.tolist() == [[0.75, 0.25]]


def test_a_spreadsheet_s_mark_and_line_ends_make_no_difference(tmp_path: Path) -> None:
    text = "\ufeff" + f"{HEADER}\n{ROW}\n\n".replace("\n", "\r\n")
    assert read_predictions(written(tmp_path, text)).names == ("x.png",)


def test_images_are_taken_with_all_that_is_known_of_them() -> None:
    taken = FILE.take([2, 0])
    assert (taken.names, taken.patients, taken.folds) == (
        ("c.png", "=cmd.png"), ("p", "-7"), ("10", "1"),
    )  # fmt: skip
    assert taken.decisions.tolist() == [[True, False], [True, True]]


def test_a_file_that_was_cut_off_is_refused_or_has_whole_rows_only(tmp_path: Path) -> None:
    names = ("a.png", "b.png", "c.png")
    text = predictions_csv(replace(FILE, names=names))
    for cut in range(len(text)):
        path, rows = written(tmp_path, text[:cut]), text[:cut].count("\n") - 1
        if text[:cut].endswith("\n") and rows:
            assert read_predictions(path).names == names[:rows]
        else:
            with pytest.raises(DataError):
                read_predictions(path)


def refused(folder: Path, text: str) -> str:
    path = written(folder, text)
    with pytest.raises(DataError) as caught:
        read_predictions(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and message.endswith(".")
    return message.removeprefix(str(path))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("x.png,a,0.75,zero,a,true,1,0", "column probability_b: 'zero' is no number of 0 to 1"),
        ("x.png,a,1.5,0.25,a,true,1,0", "column probability_a: '1.5' is no number of 0 to 1"),
        ("x.png,a,nan,0.25,a,true,1,0", "column probability_a: 'nan' is no number of 0 to 1"),
        ("x.png,a,0.75,0.25,a+c,true,1,0", "column predicted: 'c' is none of a, b"),
        ("x.png,a,0.75,0.25,a,TRUE,1,0", "column correct: says 'TRUE', and by predicted"),
        ("x.png,a,0.75,0.25,b,true,1,0", "column correct: says 'true', and by predicted"),
        ("x.png,a,0.75,0.25,a,true,1,2", "column target_b: '2' is neither 0 nor 1 nor empty"),
        (",a,0.75,0.25,a,true,1,0", "column path: is empty"),
        ("x.png,,0.75,0.25,a,true,1,0", "column label: is empty"),
        ("w.png,a,0.75,0.25,a,true,1,0", "column path: 'w.png' stands in another row too"),
        ("x.png,a,0.75,0.25,a,true,1", "column target_b: is not there: the row ends before it"),
        ("x.png,a,0.75,0.25,a,true,1,0,9", "column target_b: 1 cells follow it"),
    ],
)
def test_a_wrong_cell_is_refused_by_line_and_column(tmp_path: Path, row: str, said: str) -> None:
    before = ROW.replace("x.png", "w.png")
    assert f" line 3, {said}" in refused(tmp_path, f"{HEADER}\n{before}\n{row}\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", " line 1, column 1: nothing stands where path belongs"),
        ("path;label;some\n", " line 1, column 1: 'path;label;some' stands where path belongs"),
        (HEADER.replace("correct", "right"), " line 1, column 6: 'right' stands where correct"),
        (f"{HEADER},patient", " line 1, column 10: nothing stands where source belongs"),
        (f"{HEADER},patient,source,fold,x", " line 1, column 12: 'x' stands after the last"),
        (HEADER.replace("_b", "_a"), " line 1, column probability_a: 'a' is empty, has a +"),
        (HEADER.replace("_b", "_a+b"), " line 1, column probability_a+b: 'a+b' is empty, has"),
        (f"{HEADER}\n", " line 2: there is no image"),
        (f'{HEADER}\n"{ROW}\n', " line 2: is not CSV"),
        (f"{HEADER}\n{ROW}", " line 2, column target_b: the file ends within this line, cut off"),
        (f"{HEADER},patient,source,fold\n{ROW},p,s,1\n{ROW.replace('x', 'y')},p,s,\n",
         " line 3, column fold: is empty, and other rows have one"),
    ],
)  # fmt: skip
def test_another_file_is_refused_by_what_is_wrong_with_it(
    tmp_path: Path, text: str, said: str
) -> None:
    assert said in refused(tmp_path, text)


def test_what_predict_writes_is_refused_in_words(tmp_path: Path) -> None:
    text = "path,probability_a,probability_b,predicted,error\nx.png,0.75,0.25,a,\n"
    message = refused(tmp_path, text)
    assert "predict.py writes, which knows no targets; `python evaluate.py` writes" in message


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"])
def test_a_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "predictions.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is not UTF-8 text"):
        read_predictions(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read .No such file"):
        read_predictions(tmp_path / "predictions.csv")
