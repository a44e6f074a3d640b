"""The frozen prefix of a network, computed once per image instead of once per epoch.

What comes before the first layer that trains is in eval mode and never changes, so neither does
what it makes of an image: its features. They are computed before the first epoch, for every
image and, where training flips, its mirror image, or for every drawing of `data.variants`; then
batches carry them, and only the rest of the network runs. The file they are kept in serves every
experiment with the same prefix.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from covid.config import Config
from covid.config_augment import why_no_features
from covid.data.batches import Split
from covid.data.cache import Images
from covid.data.drawings import Augmentation
from covid.data.record_file import RecordFile
from covid.errors import ConfigError
from covid.model.networks import Layer, Network, Prefix, frozen_layers, layers, suffix
from covid.training.epochs import flip

FEATURES_VERSION = 1  # to be raised where this code comes to mean other numbers by a record
MAX_BATCH_IMAGES = 32  # computed at once
MAX_BATCH_PIXELS = 32 * 256**2  # of the images computed at once
FREE_SHARE = 0.1  # the share of a disk that `auto` leaves free
# Where records come from a disk at 200 MB/s, and layers that do little with much, such as a stem
# alone, run at 10 operations per nanosecond: with fewer operations per byte, reading saves nothing.
MIN_OPERATIONS_PER_BYTE = 50


@dataclass(frozen=True)
class KeptPrefix:
    """How much of a network is computed already in what batches carry."""

    layers: int = 0  # none: batches carry images
    problem: str | None = None  # why features that should be kept are not, for the user

    @property
    def kept(self) -> bool:
        """Whether batches carry features."""
        return self.layers > 0

    def rest(self, network: nn.Module) -> nn.Module:
        """What is left of a Network to run on a batch; its modules are the network's own."""
        assert isinstance(network, Network)
        return suffix(network, self.layers) if self.kept else network


class FrozenFeatures:
    """What a frozen prefix makes of each image of an index, and of each drawing of it.

    Drawing 0 is the image as it is. Without `augmentation` drawing 1 is its mirror image; with one,
    which has variants, drawing 1 + v is its variant v. A drawing's record in the file is drawing ·
    images + image, so that experiments with and without flips share a file.

    A record that is not kept, or damaged, is computed when it is read. It is always computed in a
    batch of one size, since sums of floats depend on that: whoever computes it gets its bits.
    `problem` is None, or why records cannot be kept.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        prefix: Prefix,
        images: Images,
        arch: str,
        augmentation: Augmentation | None = None,
    ):
        assert images.cache_dir is not None
        self.augmentation = augmentation
        self.accelerator, self.images = accelerator, images
        self.prefix = prefix.to(accelerator.device).eval()
        self.batch = max(1, min(MAX_BATCH_IMAGES, MAX_BATCH_PIXELS // images.size**2))
        self.problem: str | None = None
        with FlopCounterMode(display=False) as counter:
            features = self._forward(torch.zeros((1, 1, images.size, images.size)))
        self.operations = int(counter.get_total_flops())  # per image
        self.shape, self.dtype = features.shape[1:], features.dtype
        name = f"features-{self._key(arch)}"
        length = features[0].numel() * features.element_size()
        self.records = RecordFile(images.cache_dir, name, length=length)

    def read(self, indices: Sequence[int], drawings: torch.Tensor) -> torch.Tensor:
        """Of a drawing of each image, `[len(indices)]`: see the class.

        float `[len(indices), …]` on the CPU, in the type that the prefix yields in this precision.
        """
        slots = np.asarray(indices) + len(self.images.paths) * drawings.numpy()
        content = torch.from_numpy(self._read(slots.tolist()))
        features = content.view(self.dtype).reshape(len(indices), *self.shape)
        return features.permute(0, 3, 1, 2) if features.ndim == 4 else features

    def fill(self, train: Split, validation: Split) -> None:
        """Computes what the splits can ask for and is not kept, each process its share.

        Memory does not grow with the number of images. Afterwards all processes have the same
        `problem`, and where there is one, the room is given back.
        """
        slots = wanted(train, validation)
        main = self.accelerator.is_main_process
        bar = tqdm(total=len(slots), desc="computing features", unit=" images", leave=False,
                   delay=1, disable=None if main else True)  # fmt: skip
        try:
            self.records.make()
        except OSError as error:
            self._give_up(error)
        with self.accelerator.split_between_processes(slots) as share, bar:
            for start in range(0, len(share), self.batch):
                if self.problem:
                    break
                self._read(share[start : start + self.batch])
                bar.update(min(self.batch, len(share) - start) * self.accelerator.num_processes)
        problems = [problem for problem in gather_object([self.problem]) if problem]
        self.problem = problems[0] if problems else None
        if self.problem and main:
            with suppress(OSError):  # a folder that cannot be written cannot be tidied either
                self.records.remove()

    def _read(self, slots: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Records of the file, uint8 `[len(slots), bytes]`: kept ones, and computed ones."""
        # From torch's allocator, which aligns: what a matrix product gives differs in its last bits
        # with where its input lies, and a run that is resumed has to find the same ones.
        content = torch.empty((len(slots), self.records.length), dtype=torch.uint8).numpy()
        absent = self.records.read(slots, content)
        for start in range(0, len(absent), self.batch):
            places = absent[start : start + self.batch]
            chosen = [slots[place] for place in places]
            content[places] = self._compute(chosen)
            if not self.problem:
                try:
                    self.records.write(chosen, content[places])
                except OSError as error:
                    self._give_up(error)
        return content

    def _compute(self, slots: Sequence[int]) -> npt.NDArray[np.uint8]:
        images = len(self.images.paths)
        filled = np.resize(slots, self.batch)  # repeats some, where they are too few
        features = self._forward(self._drawn(filled % images, filled // images))
        return features.view(torch.uint8).reshape(self.batch, -1)[: len(slots)].numpy()

    def _drawn(
        self, indices: npt.NDArray[np.int64], drawings: npt.NDArray[np.int64]
    ) -> torch.Tensor:
        """Drawings of images, as the prefix takes them, on its device."""
        device = self.accelerator.device
        images = torch.from_numpy(self.images.read(indices.tolist())).unsqueeze(1).to(device)
        changed = torch.from_numpy(drawings > 0).to(device)
        if self.augmentation is None:
            return flip(images, changed)
        variants = np.maximum(drawings - 1, 0)
        numbers = self.augmentation.numbers(variants.tolist(), indices.tolist()).to(device)
        drawn = self.augmentation.draw(images, numbers)
        return torch.where(changed[:, None, None, None], drawn, images)

    @torch.inference_mode()
    def _forward(self, images: torch.Tensor) -> torch.Tensor:
        with self.accelerator.autocast():
            features: torch.Tensor = self.prefix(images.to(self.accelerator.device))
        # Channels last, as convolutions are computed here: `read` need not turn it back.
        return (features.permute(0, 2, 3, 1) if features.ndim == 4 else features).contiguous().cpu()

    def _give_up(self, error: OSError) -> None:
        self.problem = (
            f"features cannot be kept in {self.records.folder} ({error.strerror}); training goes "
            f"on without, and computes frozen layers in every epoch."
        )

    def _key(self, arch: str) -> str:
        """Changes with the images, with every weight, and with what decides about a bit."""
        device, precision = self.accelerator.device.type, self.accelerator.mixed_precision
        code = [FEATURES_VERSION, torch.__version__, device, precision, self.batch]
        what: list[object] = [code, self.images.key, arch, len(self.prefix.layers)]
        if self.augmentation is not None:
            what += self.augmentation.identity
        digest = hashlib.sha256(json.dumps([*what, self.prefix.mean, self.prefix.std]).encode())
        for name, tensor in self.prefix.state_dict().items():
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().numpy().data)
        return digest.hexdigest()[:16]


def require_frozen(network: Network, config: Config) -> None:
    """Raises ConfigError where `cache_features` is on and nothing is frozen as `freeze` left it."""
    if config.cache_features == "on" and not frozen_layers(layers(network)):
        raise ConfigError(
            "cache_features: is on, but nothing before the first layer that trains is frozen, so "
            "there are no features to keep; set it to auto, or model.trainable to later layers."
        )


def keep_prefix(
    accelerator: Accelerator,
    network: Network,
    train: Split,
    validation: Split,
    config: Config,
    log: Callable[[str], None],
) -> KeptPrefix:
    """Computes the features of both splits and has them carry these, where that is worth it.

    `network` is as `freeze` left it, and has passed `require_frozen`. One line goes to `log`:
    what is kept, or why nothing is.
    """
    train.features = validation.features = None  # those of an earlier stage
    wish = config.cache_features
    steps = layers(network)
    frozen = frozen_layers(steps)
    why = None
    if wish == "off":
        why = "cache_features is off"
    elif not frozen:
        why = "nothing before the first layer that trains is frozen"
    elif why_no_features(config.data.augment, config.data.variants):
        why = why_no_features(config.data.augment, config.data.variants)
    elif not config.data.cache:
        why = "data.cache is false"
    elif not all(gather_object([train.images.kept])):  # one process may have met a full disk
        why = "decoded images cannot be kept either"
    if why is not None:
        return _nothing_kept(why, wish, log)
    prefix = Prefix(network, steps[:frozen])
    features = FrozenFeatures(
        accelerator, prefix, train.images, config.model.arch, train.augmentation
    )
    # One process decides for all: how much is free and what is there may change meanwhile.
    why = gather_object([why_not(features, train, validation, config)])[0]
    if why is not None:
        return _nothing_kept(why, wish, log)
    log(estimate(features, train, validation, steps[:frozen], steps[frozen]))
    features.fill(train, validation)
    if features.problem:
        return KeptPrefix(problem=features.problem)
    train.features = validation.features = features
    return KeptPrefix(frozen)


def _nothing_kept(why: str, wish: str, log: Callable[[str], None]) -> KeptPrefix:
    sentence = f"features are not kept: {why}"
    if wish == "on":
        return KeptPrefix(problem=f"{sentence}.")
    log(sentence)
    return KeptPrefix()


def why_not(
    features: FrozenFeatures, train: Split, validation: Split, config: Config
) -> str | None:
    """Why features should not be kept; None where they should. `on` leaves the disk's size only."""
    slots = wanted(train, validation)
    missing = len(slots) - features.records.written(slots)
    auto = config.cache_features == "auto"
    if auto and missing >= config.epochs * (len(train) + len(validation)):
        return f"{config.epochs} epoch(s) run frozen layers no more often than keeping them would"
    if auto and features.operations < MIN_OPERATIONS_PER_BYTE * features.records.length:
        return "the frozen layers are computed as fast as their features are read"
    disk = shutil.disk_usage(features.records.folder)
    kept_free = FREE_SHARE * disk.total if auto else 0
    if missing * features.records.length > disk.free - kept_free:
        size = megabytes(missing * features.records.length)
        rule = f", and a tenth of its disk, {megabytes(kept_free)}, is to stay free" if auto else ""
        free = megabytes(disk.free)
        return f"they take {size}, {features.records.folder} has {free} free{rule}"
    return None


def wanted(train: Split, validation: Split) -> list[int]:
    """The records of features that the splits can ask for."""
    images, drawings = len(train.images.paths), _drawings(train)
    shown = [train.indices + images * drawing for drawing in drawings]
    slots: list[int] = np.concatenate([*shown, validation.indices]).tolist()
    return slots


def _drawings(train: Split) -> range:
    """Those that training shows: the image and, where it flips, its mirror image; or variants."""
    if train.augmentation is not None:
        return range(1, 1 + (train.augmentation.variants or 0))
    return range(2 if train.horizontal_flip else 1)


def estimate(
    features: FrozenFeatures,
    train: Split,
    validation: Split,
    frozen: Sequence[Layer],
    following: Layer,
) -> str:
    """`features of layer3: (630 × 2 + 128) × 128 KiB = 182 MB`, known before any is computed."""
    slots, length = wanted(train, validation), features.records.length
    drawings = len(_drawings(train))
    variants = f" × {drawings}" if drawings > 1 else ""
    there = features.records.written(slots)
    # Where all of a module that holds several is frozen, its name says more than the last one's.
    name = frozen[-1].name
    while "." in name and not following.name.startswith(f"{name.rpartition('.')[0]}."):
        name = name.rpartition(".")[0]
    return (
        f"features of {name}: ({len(train)}{variants} + {len(validation)}) × "
        f"{length / 1024:g} KiB = {megabytes(len(slots) * length)}"
        + (f", {there} of {len(slots)} there already" if there else "")
    )


def megabytes(count: float) -> str:
    return f"{count / 1e6:,.0f} MB"
