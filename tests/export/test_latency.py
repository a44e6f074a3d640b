"""Milliseconds per call: who is called how often, in which order, and what is counted."""

import time

import pytest

from covid.export.latency import CALLS, WARM_UP, measure_latency


@pytest.fixture
def called() -> list[str]:
    called: list[str] = []
    measure_latency({name: lambda name=name: called.append(name) for name in "ab"}, 3)  # type: ignore[misc]
    return called


def test_every_function_is_warmed_up_first(called: list[str]) -> None:
    assert called[: 2 * WARM_UP] == ["a"] * WARM_UP + ["b"] * WARM_UP


def test_functions_take_turns(called: list[str]) -> None:
    turn = ["a"] * (CALLS + 1) + ["b"] * (CALLS + 1)
    assert called[2 * WARM_UP :] == 3 * turn


def test_a_slow_function_takes_longer_by_what_it_sleeps() -> None:
    took = measure_latency({"slow": lambda: time.sleep(0.02), "fast": lambda: None}, 2)
    assert took["slow"]["median_ms"] >= 20 > took["fast"]["median_ms"]


def test_the_first_call_of_a_turn_is_not_counted() -> None:
    calls = 0

    def slow_at_first() -> None:
        nonlocal calls
        if calls >= WARM_UP and (calls - WARM_UP) % (CALLS + 1) == 0:
            time.sleep(0.05)
        calls += 1

    assert measure_latency({"one": slow_at_first}, 4)["one"]["p95_ms"] < 50
