"""Pictures: what they say, that nothing is clipped or overlaps, and which images they show."""

import errno
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from covid.edge.labels import LabelSpace, Task
from covid.errors import StorageError
from covid.evaluation.figures import Answers
from covid.evaluation.metrics import compute_metrics
from covid.evaluation.page import fit, text_width
from covid.evaluation.plots import (
    choose_examples,
    confusion_figure,
    curves_figure,
    examples_figure,
    plot_confusion,
    plot_curves,
    plot_examples,
)

TITLE = "resnet18_multilabel on synthetic radiographs, test"
LONG = (
    "covid_19_pneumonia_confirmed_by_pcr", "normal", "bacterial_pneumonia_streptococcus",
    "viral pneumonia, other than covid", "tuberculosis", "Pneumocystisjiroveciipneumonia",
    "costs $5 and $6", "cardiomegaly",
)  # fmt: skip
Evaluated = tuple[Answers, list[str], LabelSpace]


def evaluated(
    classes: tuple[str, ...] = LONG[:3], task: Task = "multilabel", noise: float = 0.3
) -> Evaluated:
    """Answers and cells of twenty images a class; some are wrong."""
    space = LabelSpace.from_labels(task, {name: [name] for name in classes})
    keys = list(classes) * 20
    targets = space.encode(keys)
    shift = np.random.default_rng(0).normal(0, noise, targets.shape)
    scores = np.clip(0.15 + 0.7 * targets + shift, 0.001, 0.999)
    if task == "single_label":
        scores /= scores.sum(axis=1, keepdims=True)
    return Answers.of(space, scores.astype(np.float32), targets), keys, space


def metrics_of(evaluation: Evaluated) -> dict[str, Any]:
    answers, keys, space = evaluation
    probabilities, targets = answers.probabilities, answers.targets
    return compute_metrics(space, probabilities, targets, [None] * len(keys), resamples=50)


def examples_of(evaluation: Evaluated, title: str = TITLE) -> Figure:
    answers, keys, space = evaluation
    chosen = choose_examples(answers, keys)
    return examples_figure(images_of(chosen), chosen, answers, keys, space, title)


def images_of(chosen: Mapping[str, Sequence[int]]) -> npt.NDArray[np.uint8]:
    return np.zeros((sum(map(len, chosen.values())), 8, 8), dtype=np.uint8)


def answers_of(
    probabilities: npt.NDArray[np.floating[Any]], targets: npt.NDArray[np.bool_]
) -> Answers:
    return Answers(targets, np.ones_like(targets), probabilities > 0.5, probabilities)


def history(epochs: int) -> list[dict[str, float | int | None]]:
    return [
        {
            "epoch": epoch, "train_loss": 1 / epoch, "train_accuracy": 1 - 0.5 / epoch,
            "validation_loss": 1.1 / epoch, "validation_accuracy": 0.9 - 0.5 / epoch,
            "validation_macro_f1": None if epoch == 2 else 0.8 - 0.5 / epoch,
            "learning_rate": 0.01, "seconds": 10.0, "images_per_second": 50.0,
        }
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip


def texts_of(figure: Figure) -> list[Text]:
    """Every text that is drawn, legends and the tick labels within an axis' limits included."""
    figure.draw_without_rendering()
    hidden: set[Text] = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            hidden.update(text for text in axis.findobj(Text) if not axes.axison)
            hidden.update(tick.label1 for tick in axis.get_major_ticks()
                          if not low <= tick.get_loc() <= high)  # fmt: skip
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    return [text for text in texts if text.get_text() and text not in hidden]


def said(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in texts_of(figure))


def overlaps(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that lie on each other, and texts that leave the picture."""
    FigureCanvasAgg(figure)
    page = figure.bbox
    boxes = [(text.get_text(), text.get_window_extent().padded(-0.5)) for text in texts_of(figure)]
    outside = [
        (name, "the edge") for name, box in boxes
        if box.x0 < 0 or box.y0 < 0 or box.x1 > page.x1 or box.y1 > page.y1
    ]  # fmt: skip
    pairs = [
        (name, other) for place, (name, box) in enumerate(boxes)
        for other, second in boxes[place + 1 :]
        if box.x0 < second.x1 and second.x0 < box.x1
        and box.y0 < second.y1 and second.y0 < box.y1
    ]  # fmt: skip
    return outside + pairs


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


@pytest.mark.parametrize("classes", [2, 3, 8])
def test_texts_of_examples_keep_apart(classes: int) -> None:
    assert overlaps(examples_of(evaluated(LONG[:classes]))) == []


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


def test_examples_say_correct_and_wrong_in_words() -> None:
    words = said(examples_of(evaluated(noise=0.6))).split("\n")
    assert (words.count("correct"), words.count("wrong")) == (9, 9)


def test_examples_say_how_many_of_a_class_are_correct() -> None:
    everything = said(examples_of(evaluated(("covid", "normal"), noise=0.0)))
    assert everything.count("20 of 20 correct") == 2


def test_examples_without_a_wrong_one_show_only_correct_ones() -> None:
    assert "Wrong" not in said(examples_of(evaluated(noise=0.0)))


def test_examples_without_a_correct_one_show_only_wrong_ones() -> None:
    answers, keys, space = evaluated(noise=0.0)
    flipped = Answers.of(space, 1 - answers.probabilities, answers.targets)
    assert "Correct" not in said(examples_of((flipped, keys, space)))


def test_dollar_signs_are_no_formulas() -> None:
    figure = confusion_figure(metrics_of(evaluated(("costs $5 and $6", "normal"))), TITLE)
    priced = [text for text in texts_of(figure) if "$" in text.get_text()]
    assert priced and not any(text.get_parse_math() for text in priced)


def test_an_implied_label_is_explained() -> None:
    space = LabelSpace.from_labels("multilabel", {"covid": ["covid", "sick"], "sick": ["sick"]})
    probabilities = np.array([[0.9, 0.1]], dtype=np.float32)
    answers = Answers.of(space, probabilities, space.encode(["covid"]))
    assert "implied" in said(examples_of((answers, ["covid"], space)))


def test_up_to_three_correct_and_three_wrong_of_each_class_are_chosen() -> None:
    answers, keys, space = evaluated(noise=0.6)
    chosen = choose_examples(answers, keys)
    correct = (answers.targets == answers.decisions).all(axis=1)
    for key in space.labels:
        assert {keys[place] for place in chosen[key]} == {key}
        assert correct[chosen[key]].tolist() == [True] * 3 + [False] * 3


def test_the_most_confident_mistakes_come_first() -> None:
    probabilities = np.array([[0.4, 0.6], [0.1, 0.9], [0.3, 0.7], [0.45, 0.55]])
    targets = np.array([[True, False]] * 4)
    assert choose_examples(answers_of(probabilities, targets), ["a"] * 4) == {"a": [1, 2, 0]}


def test_correct_ones_spread_from_the_most_to_the_least_confident() -> None:
    sure = np.array([0.6, 0.95, 0.7, 0.99, 0.8])
    probabilities = np.column_stack([sure, 1 - sure])
    targets = np.array([[True, False]] * 5)
    assert choose_examples(answers_of(probabilities, targets), ["a"] * 5) == {"a": [3, 4, 0]}


def test_the_confident_absence_of_a_label_that_is_there_is_a_confident_mistake() -> None:
    probabilities = np.array([[0.55, 0.55], [0.9, 0.01]])  # the second misses its second label
    targets = np.array([[True, False], [True, True]])
    assert choose_examples(answers_of(probabilities, targets), ["a", "a"]) == {"a": [1, 0]}


@given(st.data())
@settings(max_examples=60)
def test_choices_are_of_the_data_and_never_twice(data: st.DataObject) -> None:
    images = data.draw(st.integers(0, 15))
    shape = (images, 2)
    tenths = data.draw(st.lists(st.integers(0, 10), min_size=2 * images, max_size=2 * images))
    probabilities = np.array(tenths, dtype=np.float32).reshape(shape) / 10
    flags = st.lists(st.booleans(), min_size=2 * images, max_size=2 * images)
    targets = np.array(data.draw(flags), dtype=bool).reshape(shape)
    keys = data.draw(st.lists(st.sampled_from("ab"), min_size=images, max_size=images))
    chosen = choose_examples(answers_of(probabilities, targets), keys)
    places = [place for of_key in chosen.values() for place in of_key]
    assert len(set(places)) == len(places)
    assert all(keys[place] == key for key, of_key in chosen.items() for place in of_key)
    assert set(chosen) == set(keys)


def test_an_image_of_two_labels_is_shown_once_and_counts_for_both() -> None:
    space = LabelSpace.from_labels("multilabel", {"a": ["a"], "b": ["b"]})
    cells = ["a|b", "b"]
    answers = Answers.of(space, np.array([[0.9, 0.8], [0.2, 0.3]]), space.encode(cells))
    assert choose_examples(answers, cells) == {"a": [0], "b": [1]}
    words = said(examples_of((answers, cells, space))).split("\n")
    assert "1 of 1 correct" in words and "1 of 2 correct" in words


def test_a_target_that_is_not_known_is_shown_as_a_question_and_is_no_mistake() -> None:
    space = LabelSpace.from_labels("multilabel", {"a": ["a"], "b": ["b"], "none": []})
    cells = ["a|b?", "none", "none?"]
    probabilities = np.array([[0.9, 0.8], [0.2, 0.3], [0.9, 0.9]])
    answers = Answers.of(space, probabilities, space.encode(cells))
    assert choose_examples(answers, cells) == {"a": [0], "none": [1]}
    words = said(examples_of((answers, cells, space))).split("\n")
    assert "a, b?" in words and "2 of 2 images correct" in words and "Wrong" not in words


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
