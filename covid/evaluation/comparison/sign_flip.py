"""A test of paired differences that takes nothing for granted but that sides could be swapped."""

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.integer]


def sign_flip_test(differences: Integers) -> float:
    """The two-sided p value of a sum of whole numbers, one a patient, under flips of their signs.

    If two networks are equally good, what a patient's images say for one could as well be said
    for the other: each difference would have had the other sign with probability 1/2, all its
    images together (Fisher 1935, "The design of experiments", section 21). p is the share of all
    2^n ways to sign them of which the sum is at least as far from 0 as the one that was seen.

    The ways are counted by their sum, not drawn: adding one patient moves half of them up and
    half down, so that p is exact for any number of patients and depends on no seed (Pagano &
    Tritchler 1983, "On obtaining permutation distributions in polynomial time").
    """
    sizes = np.abs(differences[differences != 0]).astype(np.intp)
    furthest = int(sizes.sum())
    share = np.zeros(2 * furthest + 1)  # of the ways, by their sum, from -furthest
    share[furthest] = 1
    reached = 0
    for size in sizes.tolist():
        before = share[furthest - reached : furthest + reached + 1] / 2
        reached += size
        share[furthest - reached : furthest + reached + 1] = 0
        share[furthest - reached : furthest + reached + 1 - 2 * size] += before
        share[furthest - reached + 2 * size : furthest + reached + 1] += before
    seen = abs(int(differences.sum()))
    if seen == 0:
        return 1.0
    return float(share[: furthest - seen + 1].sum() + share[furthest + seen :].sum())
