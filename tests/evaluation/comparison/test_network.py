"""What metrics.json says of two networks: thresholds, recalibration, whether they are the same."""

from typing import Any

import pytest

from covid.evaluation.comparison.network import network_notes

RUN = {"run": "demo", "epoch": 7, "trained_on_sha256": "ab"}
PLATT = {"method": "platt", "scale": [1.5, 1.25], "shift": [0.5, 0.0]}


def at(covid: object, normal: object = 0.5, rule: str | None = None) -> dict[str, Any]:
    return {
        "per_class": {"covid": {"threshold": covid}, "normal": {"threshold": normal}},
        "operating_point": rule and {"rule": rule},
    }


def notes(first: dict[str, Any], second: dict[str, Any], *, same: bool = False) -> list[str]:
    return list(network_notes(first, second, same_probabilities=same))


def test_thresholds_that_differ_are_said_and_no_others() -> None:
    assert notes(at(0.5), at(0.31)) == [
        "The first decides covid from 0.5, the second from 0.31: differences in what is decided "
        "are of thresholds too."
    ]


def test_what_chose_thresholds_is_said() -> None:
    (note,) = notes(at(0.5, rule="0.5, the default"), at(0.31, 0.4, rule="sensitivity=0.95"))
    assert note.startswith(
        "The first decides covid from 0.5 and normal from 0.5 (0.5, the default), the second "
        "covid from 0.31 and normal from 0.4 (sensitivity=0.95):"
    )


def test_thresholds_beside_the_largest_probability_are_said() -> None:
    (note,) = notes(at(None, None), at(0.31, 0.69))
    assert note.startswith("The first decides by the largest probability, the second covid from")


@pytest.mark.parametrize("other", [
    at(0.5 + 1e-8), {}, {"per_class": ["covid"]}, {"per_class": {"covid": 1, "normal": 2}},
    at("0.31"),
    {"per_class": {"other": {"threshold": 0.31}}}, at(0.5) | {"operating_point": "odd"},
])  # fmt: skip
def test_nothing_is_said_of_thresholds_that_are_the_same_or_not_known(
    other: dict[str, Any],
) -> None:
    assert notes(at(0.5), other) == notes(other, at(0.5)) == []


def test_recalibration_of_the_same_network_is_said() -> None:
    first, second = RUN | {"recalibration": None}, RUN | {"recalibration": PLATT}
    (note,) = notes(first, second)
    assert note.startswith(
        "Probabilities of the first are as the network gives them, those of the second "
        "recalibrated by platt (scale 1.5 1.25, shift 0.5 0): "
    )
    assert note.endswith("both are the same network.")
    assert not notes(first, second | {"epoch": 8})[0].endswith("both are the same network.")


def test_nothing_is_said_of_what_a_file_has_in_its_graph() -> None:
    model = {"model": "model.onnx", "recalibration": None}
    assert notes(model, {"recalibration": PLATT}) == []


@pytest.mark.parametrize(("one", "other"), [
    (RUN, RUN | {"epoch": 8}),
    ({"run": "demo", "networks": [RUN]}, {"run": "demo", "networks": [RUN | {"epoch": 8}]}),
    ({"source_sha256": "a", "precision": "fp32"}, {"source_sha256": "b", "precision": "fp32"}),
])  # fmt: skip
def test_the_same_probabilities_of_two_networks_are_doubted(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    (note,) = notes(one, other, same=True)
    assert "may be a copy of the other" in note
    assert notes(one, one, same=True) == notes(one, other) == notes(one, {}, same=True) == []
