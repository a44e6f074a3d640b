"""How long functions take, measured so that a machine's mood hits all of them alike."""

import time
from collections.abc import Callable, Mapping

import numpy as np

CALLS = 3  # that are counted, per turn
WARM_UP = 5  # calls that are not counted: memory is taken and code is chosen in the first


def measure_latency(
    functions: Mapping[str, Callable[[], object]], rounds: int
) -> dict[str, dict[str, float]]:
    """Milliseconds per call: `median_ms` and `p95_ms` of each function, over `rounds` turns.

    The functions take turns, so that a slower moment slows one call of each. A turn's first
    call is not counted: in it another function's threads may still be waiting, and caches are
    another's.
    """
    for function in functions.values():
        for _ in range(WARM_UP):
            function()
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            function()
            for _ in range(CALLS):
                start = time.perf_counter()
                function()
                seconds[name].append(time.perf_counter() - start)
    return {
        name: {
            "median_ms": round(float(np.median(taken)) * 1000, 3),
            "p95_ms": round(float(np.quantile(taken, 0.95)) * 1000, 3),
        }
        for name, taken in seconds.items()
    }
