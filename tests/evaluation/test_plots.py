"""Pictures: what they say, and that nothing is clipped or overlaps."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from covid.edge.labels import LabelSpace, Task
from covid.errors import StorageError
from covid.evaluation.examples import choose_examples, plot_examples
from covid.evaluation.metrics import compute_metrics
from covid.evaluation.page import fit, text_width
from covid.evaluation.plots import (
    confusion_figure,
    curves_figure,
    plot_confusion,
    plot_curves,
)
from tests.evaluation.pictures import (
    LONG,
    TITLE,
    evaluated,
    examples_of,
    history,
    images_of,
    metrics_of,
    overlaps,
    said,
    texts_of,
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The three pictures, in a folder of their own."""
    folder = tmp_path_factory.mktemp("pictures")
    evaluation = evaluated()
    answers, keys, space = evaluation
    chosen = choose_examples(answers, keys)
    paths = [folder / f"{name}.png" for name in ("curves", "confusion", "examples")]
    plot_curves(paths[0], history(3), TITLE, 2)
    plot_confusion(paths[1], metrics_of(evaluation), TITLE)
    plot_examples(paths[2], images_of(chosen), chosen, answers, keys, space, TITLE)
    return paths


def test_pictures_are_png_files_of_a_sane_size(written: list[Path]) -> None:
    for path in written:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
            assert 600 < picture.width < 3000 and 400 < picture.height < 3000


def test_nothing_but_the_pictures_is_left_behind(written: list[Path]) -> None:
    assert sorted(written[0].parent.iterdir()) == sorted(written)


def test_a_write_that_fails_leaves_the_old_picture_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "curves.png"
    path.write_bytes(b"the old picture")

    def full_disk(_: Figure, beside: Path, **__: Any) -> None:
        beside.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full_disk)
    with pytest.raises(StorageError):
        plot_curves(path, history(2), TITLE, 1)
    assert path.read_bytes() == b"the old picture"


def test_the_title_is_in_every_picture() -> None:
    evaluation = evaluated()
    figures = (
        curves_figure(history(3), TITLE, 2),
        confusion_figure(metrics_of(evaluation), TITLE),
        examples_of(evaluation),
    )
    assert all(TITLE in said(figure) for figure in figures)


@pytest.mark.parametrize("epochs", [1, 2, 10, 31, 200])
def test_texts_of_curves_keep_apart(epochs: int) -> None:
    assert overlaps(curves_figure(history(epochs), TITLE, 1)) == []


@pytest.mark.parametrize("task", ["multilabel", "single_label"])
@pytest.mark.parametrize("classes", [2, 3, 5, 8])
def test_texts_of_confusion_keep_apart(task: Task, classes: int) -> None:
    figure = confusion_figure(metrics_of(evaluated(LONG[:classes], task)), TITLE)
    assert overlaps(figure) == []


def test_a_title_too_long_for_a_line_is_wrapped() -> None:
    assert overlaps(confusion_figure(metrics_of(evaluated(LONG[:2])), f"{TITLE}; " * 3)) == []


def test_epochs_are_whole_numbers() -> None:
    axes = curves_figure(history(3), TITLE, 2).axes[1]
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_one_epoch_is_a_point_that_can_be_seen() -> None:
    lines = curves_figure(history(1), TITLE, 1).axes[1].get_lines()
    assert lines[0].get_marker() == "o"


def test_the_kept_epoch_is_named() -> None:
    assert "epoch 3 was kept" in said(curves_figure(history(4), TITLE, 3))


def test_curves_do_without_a_kept_epoch() -> None:
    assert "was kept" not in said(curves_figure(history(4), TITLE, None))


def test_a_kept_epoch_without_macro_f1_is_named_without_it() -> None:
    assert "accuracy 0.650\n" in said(curves_figure(history(4), TITLE, 2))


@pytest.mark.parametrize("task", ["multilabel", "single_label"])
def test_confusion_shows_every_count(task: Task) -> None:
    metrics = metrics_of(evaluated(task=task))
    counts = np.array(
        list(metrics["confusion"].values()) if task == "multilabel" else metrics["confusion"]
    )
    assert set(map(str, counts.ravel())) <= set(said(confusion_figure(metrics, TITLE)).split("\n"))


def test_a_class_without_images_has_no_percentages() -> None:
    space = LabelSpace.from_labels("single_label", {"covid": ["covid"], "normal": ["normal"]})
    probabilities = np.array([[0.9, 0.1]], dtype=np.float32)
    metrics = compute_metrics(space, probabilities, space.encode(["covid"]), [None])
    assert said(confusion_figure(metrics, TITLE)).count("–") == 2


def test_dollar_signs_are_no_formulas() -> None:
    figure = confusion_figure(metrics_of(evaluated(("costs $5 and $6", "normal"))), TITLE)
    priced = [text for text in texts_of(figure) if "$" in text.get_text()]
    assert priced and not any(text.get_parse_math() for text in priced)


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P", "Zs")), max_size=60),
       st.floats(0.5, 3), st.integers(1, 3))  # fmt: skip
@settings(max_examples=60)
def test_a_fitted_text_fits(text: str, width: float, lines: int) -> None:
    fitted = fit(text, width, 8.0, lines)
    assert len(fitted.splitlines()) <= max(lines, 1)
    assert text_width(fitted, 8.0) <= width


def test_a_shortened_name_keeps_both_ends() -> None:
    short = fit("pneumonia_of_bacterial_origin", 1.0, 8.0)
    assert short.startswith("pneu") and "…" in short and short.endswith("gin")
