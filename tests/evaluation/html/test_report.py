"""report.html as a whole: one file, whole, safe to open, small enough to mail."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from covid.evaluation.html.report import PICTURES, REPORT, report_html, write_html
from tests.evaluation.report_page import HOSTILE, Page, metrics_of

METRICS = metrics_of()
SAMPLES = [
    {"split": split, "label": HOSTILE, "patient": f"{split}-1", "source": HOSTILE, "age": "40"}
    for split in ("train", "validation", "test")
]
CONFIG = f"""
seed: 0
data:
  image_size: 64
  labels: {{covid: [covid], '{HOSTILE}': ['{HOSTILE}']}}
"""
KNOWN: dict[str, Any] = {
    "samples": SAMPLES, "config": CONFIG, "date": "1 May 2026", "hashes": {HOSTILE: HOSTILE},
    "audit": {"warnings": [HOSTILE], "by_class": {HOSTILE: {"images": 3, "source": {HOSTILE: 3}}}},
    "summary": {"warnings": [HOSTILE, "Another."], "versions": {"torch": HOSTILE}},
}  # fmt: skip
SECTIONS = ["what", "data", "results", "calibration", "failures", "sites", "made", "checklist"]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(report_html(f"{HOSTILE} on xray", METRICS, **KNOWN))


def test_every_tag_ends_and_sections_are_in_their_order(page: Page) -> None:
    assert not page.mistakes
    assert [section["id"] for section in page.all("section")] == SECTIONS


def test_links_within_lead_somewhere_and_others_to_papers_alone(page: Page) -> None:
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(names) == len(set(names))
    for link in page.all("a"):
        href = str(link["href"])
        assert href[1:] in names if href.startswith("#") else href.startswith("https://doi.org/")


def test_nothing_runs_and_nothing_is_fetched(page: Page) -> None:
    tags = {name for name, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "form", "base", "video", "audio"}
    for name, attributes in page.elements:
        assert not [key for key in attributes if key.startswith("on")]
        assert str(attributes.get("src") or "data:").startswith("data:")
        assert name == "a" or str(attributes.get("href") or "data:").startswith("data:")
    policy = page.all("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert str(policy["content"]).startswith("default-src 'none'")


def test_a_name_is_never_a_tag() -> None:
    content = report_html(HOSTILE, METRICS, **KNOWN)
    assert "<b>" not in content and content.count("&lt;b&gt;") > 10


def test_it_is_a_page_of_its_language_for_narrow_screens_too(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en"
    viewport = {"name": "viewport", "content": "width=device-width, initial-scale=1"}
    assert viewport in page.all("meta")
    assert f"{HOSTILE} on xray: evaluation" in page.text and "1 May 2026" in page.text


def test_headings_do_not_skip_a_level(page: Page) -> None:
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch(r"h\d", name)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


def test_a_warning_that_data_and_training_share_stands_there_once(page: Page) -> None:
    assert page.text.count("Another.") == 1
    assert "Warnings of the training Another." in page.text


def test_figures_alone_are_enough() -> None:
    page = Page(report_html("a title", METRICS))
    assert [section["id"] for section in page.all("section")] == SECTIONS
    for missing in ("samples.csv", "data_audit.json", "config.yaml", "summary.json",
                    "confusion.png", "examples.png"):  # fmt: skip
        assert missing in page.text


def test_keys_that_are_null_read_as_if_they_were_absent() -> None:
    later = dict.fromkeys(("operating_point", "calibration", "predictive_values", "subgroups",
                           "mistakes", "folds"))  # fmt: skip
    assert report_html("a title", {**METRICS, **later}) == report_html("a title", METRICS)


@pytest.mark.parametrize("config", ["{not yaml", "a list", "data: null", "data: {labels: [1]}"])
def test_a_config_of_another_kind_is_shown_all_the_same(config: str) -> None:
    assert config in Page(report_html("a title", METRICS, config=config)).text


def test_other_images_are_not_taken_for_the_runs_own() -> None:
    rows = [{"split": "test", "label": "covid", "patient": "z", "source": "elsewhere"}]
    own = Page(report_html("a title", METRICS, samples=SAMPLES)).text
    other = Page(
        report_html("a title", METRICS, samples=SAMPLES, evaluated=rows, other_images=True)
    ).text
    assert "item 32 here" in own and "item 32 you must say" in other
    assert "come from: elsewhere (1 image)" in other


def test_a_folder_with_pictures_becomes_one_file_below_three_megabytes(tmp_path: Path) -> None:
    levels = np.random.default_rng(0).normal(128, 50, (800, 800)).clip(0, 255).astype(np.uint8)
    for name in PICTURES:  # noise, which is heavier than any drawing or radiograph
        Image.fromarray(levels).save(tmp_path / name, compress_level=1)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) > 2_500_000
    path = write_html(tmp_path, "a title", METRICS, **KNOWN)
    assert path == tmp_path / REPORT
    content = path.read_text(encoding="utf-8")
    assert path.stat().st_size < 3_000_000
    # Those of calibration, of other sites and of shortcuts stand beside figures alone.
    assert len(Page(content).all("img")) == 3
    assert all(image["alt"] for image in Page(content).all("img"))


@pytest.mark.parametrize("known", [
    {"summary": {"warnings": ["Levels are of all folds together, so."]}},
    {"audit": {"warnings": ["Levels are of all folds together, so."]}},
])  # fmt: skip
def test_a_run_that_held_out_a_fold_says_what_its_grey_levels_are_of(known: Any) -> None:
    said = "deviation of the images of all folds together"
    assert said in Page(report_html("small", METRICS, **known)).text
    assert said not in Page(report_html("small", METRICS)).text


def test_networks_of_folds_have_grey_levels_of_all_folds() -> None:
    metrics = {**METRICS, "networks": [{"fold": "1of2", "epoch": 2, "trained_on_sha256": None}]}
    assert "of the images of all folds together" in Page(report_html("small", metrics)).text
