"""An evaluation that leaves much undefined."""

from typing import Any

import numpy as np
import pytest

from covid.evaluation.metrics import compute_metrics
from tests.evaluation.examples import MULTILABEL


@pytest.fixture
def all_covid() -> dict[str, Any]:
    """An outside folder of 243 covid images, nine in ten of which are found."""
    targets = MULTILABEL.encode(["covid"] * 243)
    probabilities = np.tile(np.array([0.9, 0.1, 0.8], dtype=np.float32), (243, 1))
    probabilities[::10, 0] = 0.2
    return compute_metrics(MULTILABEL, probabilities, targets, [None] * 243)
