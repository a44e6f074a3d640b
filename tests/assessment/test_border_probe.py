"""A linear model on features, judged on patients that it has not seen."""

import numpy as np

from covid.assessment.border_probe import probe_scores
from covid.evaluation.ranks import Ranking

TARGET = (np.arange(80) % 2).astype(np.float32)
PATIENTS = [f"P{n // 2}" for n in range(80)]
NOISE = np.random.default_rng(0).normal(size=(80, 200)).astype(np.float32)


def told(features: np.ndarray, patients: list[str] = PATIENTS) -> float:
    scores = probe_scores(features, TARGET, patients)
    ranking = Ranking.of(scores, TARGET == 1, np.ones(80, dtype=bool))
    return float(ranking.curve(np.ones((1, 80))).auroc()[0])


def test_a_label_that_features_hold_is_told() -> None:
    features = NOISE.copy()
    features[:, :20] += TARGET[:, None]
    assert told(features) > 0.9


def test_noise_tells_nothing_though_features_outnumber_images() -> None:
    assert 0.3 < told(NOISE) < 0.7


def test_what_is_a_patient_s_own_tells_nothing_of_others() -> None:
    patients = [f"P{n // 4 * 2 + n % 2}" for n in range(80)]  # two images, of one label
    each = []
    for draw in range(8):  # of 40 patients one AUROC by chance may be 0.8, the mean of eight is not
        generator = np.random.default_rng(draw)
        own = {patient: generator.normal(size=200) for patient in sorted(set(patients))}
        each.append(told(np.stack([own[p] for p in patients]).astype(np.float32), patients))
    assert np.mean(each) < 0.65


def test_an_image_whose_label_is_not_known_is_neither_here_nor_there() -> None:
    target = TARGET.copy()
    target[3] = np.nan
    assert probe_scores(NOISE, target, PATIENTS)[3] == 0.5
