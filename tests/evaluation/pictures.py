"""What pictures are made of in tests, and what is read from them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from covid.edge.labels import LabelSpace, Task
from covid.evaluation.answers import Answers
from covid.evaluation.examples import choose_examples, examples_figure
from covid.evaluation.metrics import compute_metrics

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


def examples_of(evaluation: Evaluated, title: str = TITLE, maps: bool = False) -> Figure:
    answers, keys, space = evaluation
    chosen = choose_examples(answers, keys)
    images = images_of(chosen)
    evidence = np.ones((len(images), len(space.classes), 2, 2), np.float32) if maps else None
    return examples_figure(images, chosen, answers, keys, space, title, evidence)


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
