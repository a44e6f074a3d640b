"""Pictures of evidence: what they show, and that no two have one name."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from covid.edge.contours import Contour
from covid.edge.heatmaps import Heatmaps, _held, _noted, _said, draw_picture, picture_names
from covid.edge.model import Model, load
from covid.edge.predict import Prediction
from covid.errors import ConfigError, ModelError, StorageError
from tests.edge.networks import CARD, evidence_graph, write_network

SCALE = 0.5
GREY = np.full((60, 80), 128, dtype=np.uint8)
LEFT = np.array([[1.0, 0.0]], dtype=np.float32)  # all of the evidence in the image's left half


def prediction(path: Path, *labels: str) -> Prediction:
    likely = {"covid": 0.2, "normal": 0.1, "pneumonia": 0.9}
    evidence = dict.fromkeys(likely, LEFT)
    return Prediction(path, likely, labels, None, evidence, dict.fromkeys(likely, 0.0))


# Whole pictures -------------------------------------------------------------------------------


def test_a_panel_shows_the_image_at_its_own_size() -> None:
    grey = Image.fromarray(GREY)
    page = draw_picture(grey, prediction(Path("a.png")), ["covid"], CARD.space, SCALE)
    shown = np.asarray(page)
    assert (shown == 128).all(axis=2).sum() >= GREY.size


def test_each_class_has_a_panel_beside_the_radiograph() -> None:
    grey = Image.fromarray(GREY)
    widths = [
        draw_picture(grey, prediction(Path("a.png")), classes, CARD.space, SCALE).width
        for classes in (["covid"], ["covid", "normal"])
    ]
    assert widths[1] > 1.3 * widths[0]


def test_panels_of_a_wide_image_stand_below_each_other() -> None:
    heights = [
        draw_picture(
            Image.new("L", (width, 100)), prediction(Path("a.png")), ["covid"], CARD.space, SCALE
        ).height
        for width in (199, 201)
    ]
    assert heights[1] > 1.5 * heights[0]


def test_a_strip_is_drawn_square() -> None:
    strip = Image.new("L", (5000, 3))
    page = draw_picture(strip, prediction(Path("a.png")), ["covid"], CARD.space, SCALE)
    assert max(page.size) < 1200


# Captions -------------------------------------------------------------------------------------


def test_an_image_that_the_network_cannot_know_is_marked() -> None:
    unfamiliar = replace(prediction(Path("a.png"), "covid"), unfamiliar=("colour", "novelty"))
    assert _noted(unfamiliar) == ["a.png", "decided: covid", "unfamiliar: colour+novelty"]


def test_a_refused_decision_is_not_one_that_found_nothing() -> None:
    nothing = prediction(Path("a.png"))
    assert _noted(nothing)[1] == "decided: nothing"
    assert _noted(replace(nothing, refused=True))[1] == "decided: refused"


def test_a_map_says_what_its_lines_hold() -> None:
    assert _held([Contour(2.0, 0.5), Contour(1.0, 0.923)]) == (
        "lines hold 50% and 92% of what is for it"
    )
    assert _held([]) == "too little for lines"


# Files ----------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> Model:
    card = replace(CARD, evidence_scale=SCALE)
    return load(write_network(tmp_path, card, evidence_graph()))


def write_image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(GREY).save(path)
    return path


def test_a_picture_is_named_after_its_image(model: Model, tmp_path: Path) -> None:
    image = write_image(tmp_path / "images" / "a.jpg")
    Heatmaps(model, [image], tmp_path / "out", None).write(prediction(image, "pneumonia"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.png"]


def test_where_nothing_was_decided_the_most_probable_class_is_shown(
    model: Model, tmp_path: Path
) -> None:
    image = write_image(tmp_path / "a.png")
    for folder, shown, said in (("one", None, ()), ("two", "pneumonia", ("covid",))):
        Heatmaps(model, [image], tmp_path / folder, shown).write(prediction(image, *said))
    one, two = (Image.open(tmp_path / folder / "a.png") for folder in ("one", "two"))
    assert one.size == two.size


def test_an_image_that_cannot_be_read_has_no_picture(model: Model, tmp_path: Path) -> None:
    broken = Prediction(tmp_path / "a.png", {}, (), "a.png: is empty.")
    Heatmaps(model, [broken.path], tmp_path / "out", None).write(broken)
    assert not list((tmp_path / "out").iterdir())


def test_the_folder_is_made_before_the_first_image(model: Model, tmp_path: Path) -> None:
    Heatmaps(model, [], tmp_path / "new" / "out", None)
    assert (tmp_path / "new" / "out").is_dir()


def test_a_folder_that_cannot_be_made_is_refused(model: Model, tmp_path: Path) -> None:
    image = write_image(tmp_path / "a.png")
    with pytest.raises(StorageError, match="out: cannot be made"):
        Heatmaps(model, [], image / "out", None)


def test_a_file_without_maps_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no maps for --heatmaps"):
        Heatmaps(load(write_network(tmp_path)), [], tmp_path, None)


def test_a_class_that_is_none_is_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--class lung: is none of the classes"):
        Heatmaps(model, [], tmp_path, "lung")


def test_a_folder_where_pictures_would_replace_images_is_refused(
    model: Model, tmp_path: Path
) -> None:
    image = write_image(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="its a.png is one of the images"):
        Heatmaps(model, [image], tmp_path, None)


def test_a_map_s_figures_add_up_to_the_logit() -> None:
    given = replace(
        prediction(Path("a.png")), evidence={"covid": np.array([[1.5, -0.5]], np.float32)},
        evidence_rest={"covid": -2.0},
    )  # fmt: skip
    assert _said(given, "covid", CARD.space)[1] == (
        "logit -1.00: +1.50 for, -0.50 against, -2.00 from no place"
    )


def test_folders_tell_images_of_one_name_apart() -> None:
    paths = [Path("x/one/a.png"), Path("x/two/a.png"), Path("b.jpg")]
    assert list(picture_names(paths).values()) == ["one-a.png", "two-a.png", "b.png"]


def test_a_number_tells_endings_apart() -> None:
    names = picture_names([Path("x/a.png"), Path("x/a.jpg")])
    assert list(names.values()) == ["a.png", "a-2.png"]


parts = st.text("abA", min_size=1, max_size=2)


@given(st.lists(st.lists(parts, min_size=1, max_size=4), max_size=12))
def test_no_two_images_share_a_picture(paths: list[list[str]]) -> None:
    files = {Path("/", *folders, f"{folders[-1]}{end}") for folders in paths
             for end in (".png", ".jpg")}  # fmt: skip
    names = picture_names(sorted(files))
    assert len({name.lower() for name in names.values()}) == len(files)
    assert all("/" not in name for name in names.values())
