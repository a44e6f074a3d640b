"""One epoch, one pass: what goes in comes out, in order and once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional

from covid.config_augment import Brightness, Mixup
from covid.data.batches import Split, load_batches
from covid.data.cache import Images
from covid.data.drawings import Augmentation
from covid.data.source import load_index
from covid.edge.labels import LabelSpace
from covid.errors import ConfigError, TrainingError
from covid.training.epochs import (
    Predictions,
    augmented,
    count_correct,
    flip,
    mean_loss,
    none_alone,
    predict,
    train_epoch,
)
from tests.conftest import LABELS, MakeImages, free_port, run_script

pytestmark = pytest.mark.usefixtures("one_process")
SPACE = LabelSpace.from_labels(
    "multilabel",
    {"covid": ["covid", "pneumonia"], "normal": ["normal"], "pneumonia": ["pneumonia"]},
)
bce = functional.binary_cross_entropy_with_logits


class MeanBrightness(nn.Module):
    """Three logits from the mean of an image: as small as a network gets."""

    def __init__(self, weight: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), weight))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().mean(dim=(1, 2, 3))[:, None] / 255 * self.weight


@pytest.fixture
def split(make_images: MakeImages) -> Split:
    index = load_index(make_images(), LABELS)
    targets = SPACE.encode(sample.label for sample in index.samples)
    indices = list(range(len(index.samples)))
    return Split(Images(index, 32, None), indices, targets, seed=0, horizontal_flip=True)


def train_once(split: Split, network: nn.Module, rate: float = 0.1) -> list[Predictions]:
    accelerator = Accelerator(cpu=True)
    optimizer = torch.optim.SGD(network.parameters(), rate)
    prepared, optimizer, batches = accelerator.prepare(
        network, optimizer, load_batches(split, batch_size=5, workers=0)
    )
    steps = train_epoch(accelerator, prepared, batches, bce, optimizer, None, len(split))
    return [step.predictions for step in steps]


def test_an_epoch_sees_every_image_once(split: Split) -> None:
    split.begin_epoch(0)
    assert sum(len(one.logits) for one in train_once(split, MeanBrightness())) == len(split)


@pytest.mark.parametrize("factor, gradient", [(1.0, True), (0.0, False)])
def test_a_step_knows_whether_there_was_a_gradient(
    split: Split, factor: float, gradient: bool
) -> None:
    def scaled(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return bce(logits, targets) * factor

    accelerator, network = Accelerator(cpu=True), MeanBrightness()
    sgd, loaded = torch.optim.SGD(network.parameters(), 0.1), load_batches(
        split, batch_size=5, workers=0
    )
    prepared, optimizer, batches = accelerator.prepare(network, sgd, loaded)
    split.begin_epoch(0)
    steps = train_epoch(accelerator, prepared, batches, scaled, optimizer, None, len(split))
    assert {step.gradient for step in steps} == {gradient}


# The images of each step of an epoch, of one that goes on after its first step, on the images
# of argv[1] in batches of 5; by the main process alone.
COUNT_IMAGES = """
import sys
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch.nn.functional import binary_cross_entropy_with_logits

from covid.config import BCE
from covid.model.losses import make_loss

from covid.data.batches import Split, load_batches
from covid.data.cache import Images
from covid.data.source import load_index
from covid.training.epochs import train_epoch
from tests.training.test_epochs import LABELS, SPACE, MeanBrightness

accelerator = Accelerator(cpu=True)
index = load_index(Path(sys.argv[1]), LABELS)
targets = SPACE.encode(sample.label for sample in index.samples)
split = Split(Images(index, 32, None), range(len(targets)), targets, seed=0)
network = MeanBrightness()
optimizer = torch.optim.SGD(network.parameters(), 0.1)
prepared, optimizer, batches = accelerator.prepare(
    network, optimizer, load_batches(split, batch_size=5, workers=0)
)
split.begin_epoch(0)
for skipped in (0, 1):
    remaining = accelerator.skip_first_batches(batches, skipped)
    images = len(split) - skipped * 5 * accelerator.num_processes
    steps = train_epoch(accelerator, prepared, remaining, binary_cross_entropy_with_logits,
                        optimizer, None, images)
    accelerator.print([step.images for step in steps])

# One step of all 24 images, half of which are unknown to the second process.
targets[:] = np.arange(3) % 2
unknown = targets.copy()
unknown[12:18] = np.nan
loss = make_loss(BCE(name="bce"), SPACE.classes, targets)
with torch.no_grad():
    network.weight.fill_(1.0)
split = Split(Images(index, 32, None), range(24), unknown)
optimizer = torch.optim.SGD(network.parameters(), 0.1)
prepared, optimizer, batches = accelerator.prepare(
    network, optimizer, load_batches(split, batch_size=12, workers=0)
)
[step] = train_epoch(accelerator, prepared, batches, loss, optimizer, None, 24)
pixels = torch.from_numpy(split.images.read(range(24)))[:, None]
alone = MeanBrightness()
loss(alone(pixels), torch.from_numpy(unknown)).backward()
moved = (1 - network.weight.detach()) / 0.1
accelerator.print(torch.allclose(moved, alone.weight.grad, rtol=1e-4))
"""


def test_two_processes_count_every_image_once_and_every_known_target_alike(
    make_images: MakeImages, tmp_path: Path
) -> None:
    script = tmp_path / "count.py"
    script.write_text(COUNT_IMAGES)
    environment = {"ACCELERATE_USE_CPU": "1", "PYTHONPATH": "."}
    done = run_script("-m", "torch.distributed.run", "--nproc_per_node=2",
                      f"--master_port={free_port()}", script, make_images(),
                      environment=environment)  # fmt: skip
    counts, later, agree = done.stdout.splitlines() or [done.stderr] * 3
    assert (counts, later) == ("[10, 10, 4]", "[10, 4]"), done.stderr
    assert agree == "True", "the update is not that of the mean over all known targets"


def test_an_epoch_moves_the_weights(split: Split) -> None:
    network = MeanBrightness()
    train_once(split, network)
    assert (network.weight != 1).all()


def test_a_loss_that_is_no_number_stops_before_the_update(split: Split) -> None:
    network = MeanBrightness(float("nan"))
    with pytest.raises(TrainingError, match="the loss became nan"):
        train_once(split, network)


def test_predictions_come_in_the_order_of_the_split(split: Split) -> None:
    split.begin_epoch(3)  # shuffled: predict puts them back
    split.targets[5, 1] = float("nan")
    accelerator = Accelerator(cpu=True)
    batches = accelerator.prepare(load_batches(split, batch_size=5, workers=0))
    predictions = predict(accelerator, MeanBrightness(), batches)
    pixels = split.images.read(split.indices.tolist())
    expected = pixels.astype(np.float32).mean(axis=(1, 2)) / 255
    # A mean of 1,024 numbers in float32, summed in another order.
    assert np.allclose(predictions.logits[:, 0], expected, atol=1e-5)
    assert np.array_equal(predictions.targets, split.targets.numpy(), equal_nan=True)
    assert np.isnan(predictions.targets).any()


def test_prediction_is_in_eval_mode_whatever_it_was_given(split: Split) -> None:
    network = nn.Sequential(MeanBrightness(), nn.Dropout(0.9))
    accelerator = Accelerator(cpu=True)
    batches = accelerator.prepare(load_batches(split, batch_size=5, workers=0))
    first = predict(accelerator, network.train(), batches)
    assert (predict(accelerator, network.train(), batches).logits == first.logits).all()


def test_only_the_images_that_say_so_are_flipped() -> None:
    images = torch.arange(8, dtype=torch.uint8).reshape(2, 1, 1, 4)
    flipped = flip(images, torch.tensor([True, False]))
    assert flipped[:, 0, 0].tolist() == [[3, 2, 1, 0], [4, 5, 6, 7]]


def test_an_image_counts_as_right_when_all_its_labels_are() -> None:
    logits = np.array([[5, -5, -5], [5, 5, 5], [-5, -5, 5]], dtype=np.float32)
    targets = SPACE.encode(["covid", "covid", "pneumonia"])
    assert count_correct(SPACE, Predictions(logits, targets)) == 2


def test_what_is_not_known_makes_no_image_wrong() -> None:
    logits = np.array([[5, -5, -5], [-5, -5, 5]], dtype=np.float32)
    targets = np.array([[1, np.nan, 1], [1, np.nan, 1]], dtype=np.float32)
    assert count_correct(SPACE, Predictions(logits, targets)) == 1


class Halving(nn.Module):
    """Batch normalisation of maps that are a 32nd of an image's side."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        values: torch.Tensor = self.norm(functional.avg_pool2d(images.float(), 32))
        return values.flatten(1)


def asks_for_company(network: nn.Module, images: int, batch_size: int = 4, size: int = 32) -> bool:
    accelerator = Accelerator(cpu=True)
    return none_alone(accelerator, network, images=images, batch_size=batch_size, size=size)


def test_an_image_is_left_alone_unless_batch_normalisation_would_see_one_value() -> None:
    frozen = Halving().eval()
    assert asks_for_company(Halving(), 13)
    assert not asks_for_company(Halving(), 13, size=64)
    assert not asks_for_company(Halving(), 12) and not asks_for_company(Halving(), 14)
    assert not asks_for_company(frozen, 13) and not asks_for_company(MeanBrightness(), 13)


def test_asking_moves_no_statistics() -> None:
    network = Halving()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    asks_for_company(network, 13)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_batches_of_one_image_that_cannot_be_trained_on_are_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size: a batch of one image of 32 pixels"):
        asks_for_company(Halving(), 12, batch_size=1)


def test_the_mean_loss_does_not_depend_on_batches() -> None:
    logits = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    targets = SPACE.encode(["covid"] * 7)
    whole = mean_loss(bce, Predictions(logits, targets))
    each = [mean_loss(bce, Predictions(logits[i : i + 1], targets[i : i + 1])) for i in range(7)]
    assert whole == pytest.approx(np.mean(each), rel=1e-6)  # float32


@pytest.mark.parametrize("task", ["multilabel", "single_label"])
def test_probabilities_are_the_task_s(task: str) -> None:
    predictions = Predictions(np.zeros((1, 2), dtype=np.float32), np.zeros((1, 2), dtype=bool))
    assert predictions.probabilities(task).tolist() == [[0.5, 0.5]]  # type: ignore[arg-type]


WHITE = Brightness(name="brightness", range=(1, 1), probability=0.5)
MIXUP = Mixup(name="mixup", alpha=1)


def test_without_augmentation_a_batch_is_as_it_was_read(split: Split) -> None:
    batch = split.cut(range(5))
    inputs, targets = augmented(batch, None)
    assert inputs.dtype is torch.uint8 and targets is batch.targets


def test_images_are_augmented_before_they_are_mixed_and_targets_are_mixed_alike(
    split: Split,
) -> None:
    split.augmentation = Augmentation([WHITE, MIXUP], seed=0)
    batch = split.cut(range(24))
    assert batch.partners is not None and batch.shares is not None and batch.numbers is not None
    assert batch.partners.numbers is not None
    own, other = (
        split.augmentation.draw(each.inputs, each.numbers)  # type: ignore[arg-type]
        for each in (batch, batch.partners)
    )
    shares = batch.shares[:, None]
    inputs, targets = augmented(batch, split.augmentation)
    part = shares[:, :, None, None]
    # Sums of two float32 up to 255 and up to 1.
    assert torch.allclose(inputs, part * own + (1 - part) * other, atol=1e-4)
    expected = shares * batch.targets + (1 - shares) * batch.partners.targets
    assert torch.allclose(targets, expected, atol=1e-6)


def test_accuracy_of_mixed_images_is_counted_by_the_larger_share(split: Split) -> None:
    split.augmentation = Augmentation([MIXUP], seed=0)
    accelerator, network = Accelerator(cpu=True), MeanBrightness()
    prepared, optimizer, batches = accelerator.prepare(
        network,
        torch.optim.SGD(network.parameters(), 0.1),
        load_batches(split, batch_size=5, workers=0),
    )
    asked: list[torch.Tensor] = []

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        asked.append(targets)
        return bce(logits, targets)

    steps = train_epoch(
        accelerator, prepared, batches, loss, optimizer, None, len(split), split.augmentation
    )
    counted = np.concatenate([step.predictions.targets for step in steps])
    assert (counted == split.targets.numpy()[split.order]).all()
    mixed = asked[0]  # what the first step was trained on
    assert ((mixed > 0) & (mixed < 1)).any()
    assert torch.equal(mixed > 0.5, torch.from_numpy(counted[:5]) == 1)


def test_what_is_mixed_from_an_unknown_target_is_unknown(split: Split) -> None:
    split.augmentation = Augmentation([MIXUP], seed=0)
    batch = split.cut(range(24))
    assert batch.partners is not None
    unknown = batch.partners.positions[0]  # of the image that is mixed into the first
    split.targets[unknown, 1] = float("nan")
    _, targets = augmented(split.cut(range(24)), split.augmentation)
    expected = (batch.positions == unknown) | (batch.partners.positions == unknown)
    assert torch.equal(targets.isnan()[:, 1], expected) and expected.sum() > 1
    assert not targets[:, [0, 2]].isnan().any()
