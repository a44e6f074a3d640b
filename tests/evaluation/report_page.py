"""What report.html is made of in tests, and what is read from it."""

from html.parser import HTMLParser
from typing import Any

import numpy as np

from covid.edge.labels import LabelSpace, Task
from covid.evaluation.html.elements import VOID
from covid.evaluation.metrics import compute_metrics

HOSTILE = '<b>&"'  # a label as nobody should call one
CLASSES = ("covid", "normal", HOSTILE)


class Page(HTMLParser):
    """Elements, attributes and words of a page; `mistakes` are tags that do not match."""

    def __init__(self, content: str):
        super().__init__()
        self.open: list[str] = []
        self.mistakes: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(content)
        self.close()
        self.mistakes += self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.mistakes.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def metrics_of(task: Task = "multilabel", classes: tuple[str, ...] = CLASSES) -> dict[str, Any]:
    """Sixty images of twenty patients; the first class has one patient in four."""
    space = LabelSpace.from_labels(task, {name: [name] for name in classes})
    cells = [classes[(i // 3) % 4 % len(classes)] for i in range(60)]
    targets = space.encode(cells)
    noise = np.random.default_rng(0).normal(0, 0.3, targets.shape)
    scores = np.clip(0.2 + 0.6 * targets + noise, 0.01, 0.99)
    if task == "single_label":
        scores /= scores.sum(axis=1, keepdims=True)
    patients = [f"p{i // 3}" for i in range(60)]
    figures = compute_metrics(space, scores.astype(np.float32), targets, patients, resamples=40)
    return {"run": "small", "epoch": 3, "data": "xray", "split": "test", **figures}


def share(
    value: float | None, low: float | None = None, high: float | None = None
) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high}
