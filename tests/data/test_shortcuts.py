"""What gives a label away is said once, and what does not is not said."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from covid.data.by_class import Known
from covid.data.index import Index, Sample
from covid.data.shortcuts import Shortcuts, find_age_gaps, find_shortcuts
from covid.data.source import load_index
from tests.conftest import LABELS, PROJECT

DATA = PROJECT.parent / "shared" / "data"
FILE = {"format": "PNG", "mode": "L", "width": "300", "height": "200"}  # no file need be there
NO_FIGURE = "no figure on this set can tell the disease from the source; evaluate on images of"


def look(
    cells: Callable[[int, str], dict[str, str]],
    labels: Sequence[str] = ("covid", "normal", "pneumonia"),
    images: int = 60,
    known: Sequence[str] | None = None,
) -> Shortcuts:
    """Images of as many patients, whose labels take turns, described by `cells(number, label)`."""
    samples = []
    for n in range(images):
        label = labels[n % len(labels)]
        columns = FILE | cells(n, label)
        samples.append(Sample(Path(f"{n}.png"), f"{n}.png", label, "train", f"p{n}", columns))
    index = Index((Path("root"),), tuple(samples), ())
    return find_shortcuts(index, range(images), {name: [name] for name in known or labels})


def test_one_label_s_own_source_is_one_sentence() -> None:
    (sentence,) = look(lambda n, label: {"source": "a" if label == "covid" else "b"}).warnings()
    clause = "every image of covid comes from a, from which no other image comes: "
    assert sentence.startswith(clause + NO_FIGURE)


def test_several_labels_of_their_own_sources_are_one_sentence() -> None:
    shortcuts = look(lambda n, label: {"source": label[:3]}, labels=("covid", "normal"))
    (sentence,) = shortcuts.warnings()
    assert "(covid from cov and normal from nor), from which no other image comes" in sentence


def test_several_sources_of_one_label_are_its_own_too() -> None:
    (sentence,) = look(
        lambda n, label: {"source": f"a{n % 2}" if label == "covid" else "b"}
    ).warnings()
    assert "every image of covid comes from a0 or a1, from which no other image" in sentence


def test_a_class_of_several_keys_has_its_own_source_too() -> None:
    samples = []
    for n in range(60):
        key = ("bacteria", "virus", "normal", "other")[n % 4]
        columns = FILE | {"source": "x" if n % 4 < 2 else "y"}
        samples.append(Sample(Path(f"{n}.png"), f"{n}.png", key, "train", f"p{n}", columns))
    index = Index((Path("root"),), tuple(samples), ())
    labels = {"bacteria": ["pneumonia"], "virus": ["pneumonia"], "normal": ["normal"], "other": []}
    (sentence,) = find_shortcuts(index, range(60), labels).warnings()
    assert "every image of pneumonia comes from x, from which no other image" in sentence


def test_sources_of_which_each_has_few_images_say_nothing() -> None:
    assert look(lambda n, label: {"source": f"https://{n}"}).warnings() == []


def test_a_source_that_one_other_image_shares_is_not_a_label_s_own() -> None:
    shortcuts = look(
        lambda n, label: {"source": "A" if n == 1 else "a" if label == "covid" else "b"}
    )
    assert shortcuts.own.sources == {}


def test_a_label_with_an_image_of_unknown_source_has_no_source_of_its_own() -> None:
    shortcuts = look(
        lambda n, label: {"source": "" if n == 0 else "a" if label == "covid" else "b"}
    )
    assert shortcuts.own.sources == {}


def test_of_other_images_whose_source_is_unknown_no_more_is_said_than_is_known() -> None:
    (sentence,) = look(lambda n, label: {"source": "a" if label == "covid" else ""}).warnings()
    assert "from which no other image is known to come:" in sentence


def test_where_all_come_from_one_source_nothing_is_said() -> None:
    assert look(lambda n, label: {"source": "a"}).warnings() == []


def test_of_several_labels_in_a_cell_one_can_have_its_own_source() -> None:
    shortcuts = look(
        lambda n, label: {"source": "a" if "covid" in label else "b"},
        labels=("covid|effusion", "effusion", "normal"), known=("covid", "effusion", "normal"),
    )  # fmt: skip
    assert shortcuts.own.sources == {"covid": ["a"]}


def test_source_and_metadata_that_give_one_label_away_are_one_sentence() -> None:
    (sentence,) = look(
        lambda n, label: {"source": "ab"[label == "covid"], "view": "xy"[label == "covid"]}
    ).warnings()
    assert "metadata alone predicts covid against the rest" in sentence and NO_FIGURE in sentence


def test_a_source_that_almost_gives_a_label_away_joins_what_metadata_says_of_it() -> None:
    def cells(n: int, label: str) -> dict[str, str]:
        apart = label == "covid" and n > 5
        return {"source": "ab"[apart], "view": "xy"[apart]}

    (sentence,) = look(cells).warnings()
    assert sentence.startswith("source alone predicts covid against the rest with a balanced")
    assert ", and metadata alone predicts covid" in sentence and NO_FIGURE not in sentence


def test_what_metadata_says_of_another_label_is_another_sentence() -> None:
    sentences = look(
        lambda n, label: {"source": "ab"[label == "covid"], "view": "xy"[label == "normal"]}
    ).warnings()
    assert ["covid comes from" in s for s in sentences] == [True, False]
    assert ["metadata alone predicts normal" in s for s in sentences] == [False, True]


def test_an_age_gap_is_told_with_both_medians() -> None:
    # Ages are spread over 40 years, half of which overlap: AUROC is 7/8, and a threshold on age
    # has a balanced accuracy of 3/4, of which nothing is said.
    (sentence,) = look(
        lambda n, label: {"age": str(20 + 17 * n % 40 + 20 * (label != "covid"))}, images=240
    ).warnings()
    assert sentence == (
        "ages tell covid (median 39.5 years, the rest 59.5; AUROC of age alone 0.88) from the "
        "rest: a network can see age in an image and learn that instead of the disease."
    )


def test_ages_that_metadata_s_sentence_names_are_not_told_twice() -> None:
    (sentence,) = look(lambda n, label: {"age": "4" if label == "covid" else "40"}).warnings()
    assert "metadata alone predicts covid" in sentence and "age (1.00 alone)" in sentence


def test_ages_that_overlap_are_no_gap() -> None:
    random = np.random.default_rng(0)
    shortcuts = look(lambda n, label: {"age": str(random.integers(20, 80))}, images=300)
    assert shortcuts.age_gaps == []


def test_few_patients_make_no_age_gap() -> None:
    assert look(lambda n, label: {"age": str(len(label))}, images=27).age_gaps == []


def test_of_two_labels_the_gap_is_told_once() -> None:
    shortcuts = look(lambda n, label: {"age": str(len(label))}, labels=("covid", "normal"))
    assert [gap.label for gap in shortcuts.age_gaps] == ["covid"]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=20, max_size=40))
def test_a_gap_is_the_share_of_pairs_that_age_orders(images: list[tuple[bool, int]]) -> None:
    bears = np.array([[does] for does, _ in images])
    ages = np.array([float(age + 4 * does) for does, age in images])
    patients = np.arange(len(images))
    known = Known(("covid",), bears, ~bears, patients, ages, {})
    ones, others = ages[bears[:, 0]], ages[~bears[:, 0]]
    for gap in find_age_gaps(known):
        pairs = [(one > other) + (one == other) / 2 for one in ones for other in others]
        assert gap.auroc == pytest.approx(float(np.mean(pairs)))


def test_what_is_printed_ends_with_a_line_per_baseline() -> None:
    lines = look(lambda n, label: {"view": "PA"}).lines()
    assert lines[0].startswith("\nlabel") and [line.split()[0] for line in lines[1:]] == [
        "metadata", "source",
    ]  # fmt: skip


def test_where_the_table_says_nothing_it_is_not_printed() -> None:
    samples = tuple(
        Sample(Path(f"{n}.png"), f"{n}.png", "covid", "train", None, FILE) for n in range(3)
    )
    shortcuts = find_shortcuts(Index((Path("root"),), samples, ()), range(3), {"covid": ["covid"]})
    assert len(shortcuts.lines()) == 2


def test_the_audit_holds_all_three() -> None:
    written = look(lambda n, label: {}).to_json()
    assert list(written) == ["by_class", "metadata_baseline", "source_baseline"]


@pytest.mark.skipif(not (DATA / "xray3").is_dir(), reason="needs a real manifest, xray3")
def test_a_real_set_of_two_sources_is_told_once() -> None:
    index = load_index(DATA / "xray3", LABELS)
    labels = {name: [name] for name in LABELS}
    (sentence,) = find_shortcuts(index, range(len(index.samples)), labels).warnings()
    assert "covid comes from cohen" in sentence and NO_FIGURE in sentence
