"""The forest plot: what it says, and that nothing is clipped or overlaps."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from covid.edge.labels import LabelSpace
from covid.evaluation.sites.plot import external_figure, plot_external
from covid.evaluation.sites.report import external_report
from tests.evaluation.pictures import LONG, TITLE, overlaps, said
from tests.evaluation.sites.made_up import NAMES, fixed, site

GOOD = (0.8, 0.7, 0.9)


def report_of(outside: int, own: bool = True) -> dict[str, Any]:
    """Sites with one class undefined at the first, no slope at the second, odd slopes."""
    sites = [
        site(name, seed, without="covid" if seed == 1 else None,
             slope=(0.8, None, -3.0, 9.0, 1.2)[seed - 1])
        for seed, name in enumerate(NAMES[:outside], 1)
    ]  # fmt: skip
    return external_report(site("resnet18_multilabel", 0, 300) if own else None, sites)


@pytest.mark.parametrize("outside, own", [(1, False), (1, True), (2, True), (5, True)])
def test_texts_keep_apart(outside: int, own: bool) -> None:
    assert overlaps(external_figure(report_of(outside, own), TITLE)) == []


def test_texts_of_long_classes_keep_apart() -> None:
    space = LabelSpace.from_labels("multilabel", {name: [name] for name in LONG})
    sites = [site(name, seed, space=space) for seed, name in enumerate(NAMES[:3])]
    figure = external_figure(external_report(None, sites), f"{TITLE}; " * 3)
    assert overlaps(figure) == []
    assert "Shown are the 6 classes of 8" in said(figure).replace("\n", " ")


def test_every_site_and_figure_is_there_in_digits() -> None:
    text = said(external_figure(external_report(fixed("run", GOOD), [fixed("jsrt", GOOD)]), TITLE))
    assert "run (own test)" in text and text.count("0.80 (0.70–0.90)") == 4
    assert "Not pooled: fewer than three sites." in text and "Summary of" not in text


def test_what_is_not_defined_is_a_dash_with_its_reason() -> None:
    text = said(external_figure(report_of(2), TITLE))
    assert text.count("– no image with covid") == 3 and "– not determined" in text


def test_a_summary_stands_below_three_sites() -> None:
    report = external_report(None, [fixed(name, GOOD) for name in "abc"])
    text = said(external_figure(report, TITLE))
    assert "Summary of 3 sites" in text and "DerSimonian" in text


def test_an_area_below_a_half_is_inside_its_panel() -> None:
    report = external_report(None, [fixed("a", (0.2, 0.1, 0.3))])
    figure = external_figure(report, TITLE)
    markers = [line for line in figure.axes[0].get_lines() if line.get_marker() == "s"]
    assert len(markers) == 3  # AUROC, sensitivity, specificity; there is no slope


def test_a_slope_beyond_its_panel_has_an_arrow_instead() -> None:
    figure = external_figure(external_report(None, [site("a", slope=9.0)]), TITLE)
    markers = [line.get_marker() for line in figure.axes[0].get_lines()]
    assert markers.count(">") == 3 and markers.count("<") == 0 and markers.count("s") == 9


def test_the_picture_is_a_png_of_a_sane_size(tmp_path: Path) -> None:
    plot_external(tmp_path / "external.png", report_of(2), TITLE)
    with Image.open(tmp_path / "external.png") as picture:
        assert picture.format == "PNG"
        assert 600 < picture.width < 3000 and 400 < picture.height < 3000


def test_a_picture_of_no_site_is_refused() -> None:
    with pytest.raises(ValueError, match="no site"):
        external_figure(external_report(None, []), TITLE)
