"""Whether a linear model can read labels from what a frozen network makes of borders alone.

Alain & Bengio 2016, "Understanding intermediate layers using linear classifier probes".
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from covid.evaluation.answers import Floats, Targets
from covid.evaluation.clusters import number_patients

FOLDS = 5
# Of L2 regularisation, inverse: features are more than images, and scikit-learn's 1 fits the
# training folds perfectly whatever the labels.
STRENGTH = 0.01


def probe_scores(
    features: npt.NDArray[np.float32], target: Targets, patients: Sequence[str | None]
) -> Floats:
    """Probability `[images]` that each bears a class, from a model that has not seen its patient.

    `features` is `[images, n]`, `target` 1 and 0, NaN where not known: those are not learnt from,
    and get 0.5. Both outcomes must have as many patients as there are folds.
    """
    # Imported here: it takes a second.
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = ~np.isnan(target.astype(np.float64))
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000, class_weight="balanced")
    )
    scores: Floats = np.full(len(target), 0.5)
    scores[known] = cross_val_predict(
        model, features[known], target[known] == 1, groups=number_patients(patients)[known],
        cv=StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0), method="predict_proba",
    )[:, 1]  # fmt: skip
    return scores
