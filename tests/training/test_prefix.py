"""The frozen prefix: the same features whoever computes them, once, and only where it pays."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from covid.config import Config, load_config
from covid.data.batches import Split
from covid.data.cache import Images
from covid.data.drawings import Augmentation
from covid.data.source import load_index
from covid.errors import ConfigError
from covid.model.networks import Network, Prefix, build_network, freeze, frozen_layers, layers
from covid.training.epochs import augmented, flip
from covid.training.prefix import FrozenFeatures, KeptPrefix, keep_prefix, require_frozen
from tests.conftest import LABELS, PROJECT, MakeImages, write_image

pytestmark = pytest.mark.usefixtures("one_process")
SIZE = 32
FLIPPED = torch.tensor([False, True, True, False, False, True])


class Experiment(NamedTuple):
    """What `keep_prefix` is given, and what it logged."""

    network: Network
    train: Split
    validation: Split
    config: Config
    logged: list[str]

    def keep(self, precision: str = "no") -> KeptPrefix:
        AcceleratorState._reset_state(True)
        accelerator = Accelerator(cpu=True, mixed_precision=precision)
        return keep_prefix(
            accelerator, self.network, self.train, self.validation, self.config, self.logged.append
        )

    @property
    def images(self) -> Images:
        return self.train.images

    def features(self) -> FrozenFeatures:
        """The file that `keep` uses, before it does."""
        steps = layers(self.network)
        prefix = Prefix(self.network, steps[: frozen_layers(steps)])
        return FrozenFeatures(
            Accelerator(cpu=True), prefix, self.images, "resnet18", self.train.augmentation
        )


Make = Callable[..., Experiment]
TURNED = "data.augment=[{name: affine, degrees: 30}]"


@pytest.fixture
def root(make_images: MakeImages) -> Path:
    return make_images()


@pytest.fixture(autouse=True)
def half_of_the_disk_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else lies on the disk of the machine that runs the tests."""
    disk_has(monkeypatch, free=500_000_000, total=1_000_000_000)


def disk_has(monkeypatch: pytest.MonkeyPatch, free: int, total: int = 1_000_000) -> None:
    usage = type(shutil.disk_usage("/"))(total, total - free, free)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)


@pytest.fixture
def make(root: Path, tmp_path: Path) -> Make:
    """An experiment of 12 training and 6 validation images of 32 pixels, by default head only."""

    def make(*settings: str, mean: float = 0.5, seed: int = 0) -> Experiment:
        config = load_config(
            PROJECT / "configs/resnet18_multilabel.yaml",
            ["model.weights=none", "model.trainable=head", *settings],
        )
        index = load_index(root, LABELS)
        images = Images(index, SIZE, tmp_path / "cache" if config.data.cache else None)
        torch.manual_seed(seed)
        network = build_network(config.model, 3, mean=mean, std=0.25, image_size=SIZE)
        freeze(network, config.model.trainable)
        indices = {name: index.split(name) for name in ("train", "validation")}
        targets = {name: np.zeros((len(indices[name]), 3), dtype=bool) for name in indices}
        train = Split(
            images, indices["train"], targets["train"], seed=0,
            horizontal_flip=config.data.horizontal_flip and config.data.variants is None,
            augmentation=Augmentation.from_config(config.data, config.seed),
        )  # fmt: skip
        validation = Split(images, indices["validation"], targets["validation"])
        return Experiment(network, train, validation, config, [])

    return make


def read(one: Experiment, indices: list[int] | None = None) -> torch.Tensor:
    """The features of the first six images that train, three of them mirrored."""
    assert one.train.features is not None
    chosen = one.train.indices[:6].tolist() if indices is None else indices
    return one.train.features.read(chosen, FLIPPED[: len(chosen)])


@pytest.mark.parametrize("trainable, cut", [("head", 13), ("[layer4.1]", 11), ("[layer2.0]", 6)])
def test_features_are_what_the_prefix_makes_of_images_and_mirror_images(
    make: Make, trainable: str, cut: int
) -> None:
    one = make(f"model.trainable={trainable}")
    assert one.keep().layers == cut
    prefix = Prefix(one.network, layers(one.network)[:cut]).eval()
    pixels = torch.from_numpy(one.images.read(one.train.indices[:6].tolist())).unsqueeze(1)
    with torch.inference_mode():
        expected = prefix(flip(pixels, FLIPPED))
    # Batches of another size: sums of floats in another order.
    assert torch.allclose(read(one), expected, rtol=1e-5, atol=1e-5)


def test_the_rest_of_the_network_on_features_is_the_network_on_images(make: Make) -> None:
    one = make("model.trainable=[layer4.1]")
    prefix = one.keep()
    one.network.eval()
    pixels = torch.from_numpy(one.images.read(one.train.indices[:6].tolist())).unsqueeze(1)
    with torch.inference_mode():
        actual, expected = prefix.rest(one.network)(read(one)), one.network(flip(pixels, FLIPPED))
    assert torch.allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_features_have_the_type_that_the_prefix_yields_in_half_precision(make: Make) -> None:
    one = make()
    one.keep(precision="bf16")
    assert read(one).dtype is torch.bfloat16


def test_features_of_a_picture_come_channels_last_as_convolutions_leave_them(make: Make) -> None:
    one = make("model.trainable=[layer2.0]")
    one.keep()
    assert read(one).is_contiguous(memory_format=torch.channels_last)


def test_what_is_kept_is_not_computed_again(make: Make, root: Path, tmp_path: Path) -> None:
    first = make()
    first.keep()
    again = make()
    for path in [*root.rglob("*.png"), *(tmp_path / "cache").glob("images-*")]:
        path.unlink()  # so that whoever computes anything fails
    again.keep()
    assert torch.equal(read(again), read(first))
    assert "30 of 30 there already" in again.logged[0]


def test_a_damaged_row_is_computed_again_to_the_bit(make: Make) -> None:
    one = make()
    one.keep()
    before = read(one)
    content = one.features().records.content
    damaged = bytearray(content.read_bytes())
    damaged[::100] = bytes(len(damaged[::100]))
    content.write_bytes(damaged)
    assert torch.equal(read(one), before)


def test_features_that_were_deleted_in_use_are_missed_by_nobody(
    make: Make, tmp_path: Path
) -> None:
    one = make()
    one.keep()
    before = read(one)
    shutil.rmtree(tmp_path / "cache")
    assert torch.equal(read(one), before)


def test_features_are_computed_in_batches_of_one_size_on_which_their_bits_depend(
    make: Make,
) -> None:
    one = make()
    features = one.features()
    features.records.make()
    sizes = []
    stem = one.network.backbone.get_submodule("conv1")
    stem.register_forward_hook(lambda module, given, result: sizes.append(len(result)))
    features.read([3], torch.tensor([True]))
    features.fill(one.train, one.validation)
    assert sizes == [32, 32]


def test_experiments_with_and_without_flips_share_what_is_kept(make: Make) -> None:
    make().keep()
    unflipped = make("data.horizontal_flip=false")
    unflipped.keep()
    assert unflipped.logged[0].endswith("(12 + 6) × 2 KiB = 0 MB, 18 of 18 there already")


def test_features_are_what_the_prefix_makes_of_the_variants_that_an_epoch_shows(
    make: Make,
) -> None:
    one = make("model.trainable=[layer4.1]", TURNED, "data.variants=3")
    one.train.begin_epoch(2)
    images, _ = augmented(one.train.cut(range(12)), one.train.augmentation)
    one.keep()
    prefix = Prefix(one.network, layers(one.network)[:11]).eval()
    with torch.inference_mode():
        expected = prefix(images)
    kept = one.train.__getitems__(list(range(12))).inputs
    assert torch.allclose(kept, expected, rtol=1e-5, atol=1e-4)


def test_validation_is_of_images_as_they_are_whatever_training_sees(make: Make) -> None:
    one, plain = make(TURNED, "data.variants=3"), make()
    one.keep()
    plain.keep()
    kept = [each.validation.__getitems__([0, 1, 2]).inputs for each in (one, plain)]
    assert torch.equal(*kept)


def test_the_size_tells_how_many_variants_there_are(make: Make) -> None:
    one = make("model.trainable=[layer4]", TURNED, "data.variants=3")
    one.keep()
    assert one.logged == ["features of layer3: (12 × 3 + 6) × 4 KiB = 0 MB"]


@pytest.mark.parametrize("other", [
    (TURNED, "data.variants=3", "seed=1"),
    (TURNED, "data.variants=3", "data.horizontal_flip=false"),
    ("data.augment=[{name: affine, degrees: 31}]", "data.variants=3"),
    (TURNED, "data.variants=2"),
    (),
])  # fmt: skip
def test_another_augmentation_has_another_file(
    make: Make, tmp_path: Path, other: tuple[str, ...]
) -> None:
    make(TURNED, "data.variants=3").keep()
    make(*other).keep()
    assert kept_files(tmp_path) == 2


def kept_files(tmp_path: Path) -> int:
    return len(list((tmp_path / "cache").glob("features-*.rows")))


@pytest.mark.parametrize("other", [{"seed": 1}, {"mean": 0.4}])  # another seed: other weights
def test_another_prefix_has_another_file(
    make: Make, tmp_path: Path, other: dict[str, float]
) -> None:
    make().keep()
    make(**other).keep()
    assert kept_files(tmp_path) == 2


def test_a_shorter_prefix_has_another_file(make: Make, tmp_path: Path) -> None:
    make().keep()
    make("model.trainable=[layer4.1]").keep()
    assert kept_files(tmp_path) == 2


def test_another_precision_has_another_file(make: Make, tmp_path: Path) -> None:
    make().keep()
    make().keep(precision="bf16")
    assert kept_files(tmp_path) == 2


def test_a_changed_image_makes_another_file(make: Make, root: Path, tmp_path: Path) -> None:
    make().keep()
    write_image(root / "train/covid/covid-1.png", seed=777)
    make().keep()
    assert kept_files(tmp_path) == 2


def test_the_head_s_weights_make_no_other_file(make: Make, tmp_path: Path) -> None:
    make().keep()
    make("model.hidden_units=7").keep()
    assert kept_files(tmp_path) == 1


def test_the_size_is_told_in_one_line(make: Make) -> None:
    one = make("model.trainable=[layer4]")
    one.keep()
    assert one.logged == ["features of layer3: (12 × 2 + 6) × 4 KiB = 0 MB"]


@pytest.mark.parametrize("settings, why", [
    (("cache_features=off",), "cache_features is off"),
    (("model.trainable=all",), "nothing before the first layer that trains is frozen"),
    (("model.trainable=[conv1]",), "nothing before the first layer that trains is frozen"),
    (("data.cache=false",), "data.cache is false"),
    (("data.augment=[{name: flip}]",), "data.augment draws every image anew in every epoch"),
    (("data.augment=[{name: mixup, alpha: 1}]", "data.variants=2"), "mixup shows other mixtures"),
    ((TURNED, "data.variants=3", "epochs=2"), "2 epoch(s) run frozen layers no more often"),
    (("epochs=1",), "1 epoch(s) run frozen layers no more often than keeping them would"),
    (("model.trainable=[bn1]",), "computed as fast as their features are read"),
])  # fmt: skip
def test_where_features_are_not_kept_one_line_says_why(
    make: Make, settings: tuple[str, ...], why: str
) -> None:
    one = make(*settings)
    prefix = one.keep()
    assert not prefix.kept and one.train.features is None and one.validation.features is None
    assert len(one.logged) == 1 and why in one.logged[0]
    assert prefix.rest(one.network) is one.network


def test_one_epoch_pays_where_an_earlier_experiment_has_paid(make: Make) -> None:
    make().keep()
    assert make("epochs=1").keep().kept


def test_where_they_are_asked_for_features_are_kept_for_one_epoch_too(make: Make) -> None:
    assert make("epochs=1", "cache_features=on").keep().kept


def test_asking_for_features_where_nothing_is_frozen_is_refused(make: Make) -> None:
    one = make("model.trainable=[conv1]", "cache_features=on")
    with pytest.raises(ConfigError, match="nothing before the first layer that trains is frozen"):
        require_frozen(one.network, one.config)


def test_a_tenth_of_the_disk_is_left_free(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_has(monkeypatch, free=100_000 + 30 * 2048 - 1)
    one = make()
    assert not one.keep().kept and "a tenth of its disk, 0 MB, is to stay free" in one.logged[0]


def test_what_the_disk_has_room_for_is_kept(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    disk_has(monkeypatch, free=100_000 + 30 * 2048)
    assert make().keep().kept


def test_asking_for_more_than_the_disk_holds_is_a_warning(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk_has(monkeypatch, free=30 * 2048 - 1)
    prefix = make("cache_features=on").keep()
    assert not prefix.kept and "they take 0 MB" in str(prefix.problem)
    assert "a tenth" not in str(prefix.problem)


def test_a_file_that_cannot_be_made_is_a_sentence_and_training_goes_on_without(
    make: Make,
) -> None:
    one = make()
    one.features().records.content.mkdir()
    prefix = one.keep()
    assert not prefix.kept and "features cannot be kept in" in str(prefix.problem)
    assert one.train.features is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a disk always full")
def test_a_disk_that_is_full_meanwhile_is_a_sentence(make: Make) -> None:
    features = make().features()
    features.records.make()
    features.records.content.unlink()
    features.records.content.symlink_to("/dev/full")
    assert features.read([0, 1], torch.tensor([False, True])).shape == (2, 512)
    assert "No space left on device" in str(features.problem)


def test_features_lie_where_a_product_of_them_has_the_same_bits_every_time(make: Make) -> None:
    features = make().features()
    flipped = torch.tensor([False, True])
    kept = [features.read([0, 1], flipped) for _ in range(20)]  # all at once: each lies elsewhere
    assert [one.data_ptr() % 64 for one in kept] == [0] * 20  # what torch's own tensors have
