"""What an experiment is: every key of a config in one place, validated, then frozen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from covid.config_augment import Augments, check_augment
from covid.config_messages import sentence
from covid.config_sections import (
    AnyNames,
    Count,
    Fraction,
    LayerDecay,
    Names,
    NotNegative,
    Positive,
    Section,
)
from covid.config_tree import leaves, merge, nest, read_tree
from covid.edge.labels import DOUBT, JOINED, SEPARATOR, LabelSpace, Uncertain
from covid.errors import ConfigError
from covid.project import PROJECT

PHANTOM = "phantom"  # the data root that is rendered, not read
# What one stage may have otherwise than another; all else is the run's.
STAGE_KEYS = (
    "epochs", "batch_size", "model.trainable", "optimizer", "scheduler", "cache_features",
    "gradient_clip",
)  # fmt: skip
# A number for each class: by name (others weigh 1), in the classes' order, or from the images.
ClassWeights = (
    Literal["balanced"] | dict[str, Positive] | Annotated[tuple[Positive, ...], Field(strict=False)]
)


class DataConfig(Section):
    root: str | Names  # a folder, several, or `phantom`
    labels: dict[str, AnyNames]  # a folder's name -> the labels that are true of it
    uncertain: Uncertain = "ignore"  # what a label in doubt, such as `covid?`, is taken for
    image_size: Annotated[int, Field(ge=32, le=2048)] = 256  # VGG-16 and ResNet-18 halve five times
    horizontal_flip: bool = True
    augment: Augments = ()
    variants: Count | None = None
    sampler: Literal["shuffle", "balanced"] = "shuffle"
    cache: bool = True
    cache_dir: str = ".cache"
    # 300,000 images of 256 pixels take 20 GB, as do the features of a hundred runs on a thousand.
    cache_limit_gb: Positive | None = 20.0
    skip_unreadable: bool = False
    allow_patient_overlap: bool = False
    allow_duplicates: bool = False

    @property
    def roots(self) -> tuple[str, ...]:
        return (self.root,) if isinstance(self.root, str) else self.root


class ModelConfig(Section):
    arch: Annotated[str, Field(min_length=1)]  # covid.model.architectures knows which there are
    weights: str = "imagenet"  # imagenet · none · a .safetensors or .pth file
    hidden_units: Count = 120
    dropout: Fraction = 0.0
    trainable: Literal["all", "head"] | Names = "all"
    until: Annotated[str, Field(min_length=1)] | None = None  # the last module; None: all of them


class BCE(Section):
    name: Literal["bce"]
    positive_weight: ClassWeights | None = None


class Focal(Section):
    name: Literal["focal"]
    gamma: NotNegative = 2.0  # the value of Lin et al. 2017
    alpha: Annotated[float, Field(gt=0, lt=1)] | None = None
    positive_weight: ClassWeights | None = None


class CrossEntropy(Section):
    name: Literal["cross_entropy"]
    positive_weight: ClassWeights | None = None


class Adam(Section):
    name: Literal["adam"]
    lr: Positive
    weight_decay: NotNegative = 0.0
    layer_decay: LayerDecay = 1.0


class AdamW(Section):
    name: Literal["adamw"]
    lr: Positive
    weight_decay: NotNegative = 0.01  # torch's own default
    layer_decay: LayerDecay = 1.0


class SGD(Section):
    name: Literal["sgd"]
    lr: Positive
    momentum: Fraction = 0.0
    weight_decay: NotNegative = 0.0
    layer_decay: LayerDecay = 1.0


class NoScheduler(Section):
    name: Literal["none"]


class Plateau(Section):
    name: Literal["plateau"]
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 1


class Cosine(Section):
    name: Literal["cosine"]
    warmup_epochs: NotNegative = 0.0


class OneCycle(Section):
    name: Literal["onecycle"]
    max_lr: Positive


Loss = Annotated[BCE | Focal | CrossEntropy, Field(discriminator="name")]
Optimizer = Annotated[Adam | AdamW | SGD, Field(discriminator="name")]
Scheduler = Annotated[NoScheduler | Plateau | Cosine | OneCycle, Field(discriminator="name")]


class Config(Section):
    """One experiment. docs/configuration.md explains each key; `configs/` shows them at work."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    task: Literal["multilabel", "single_label"]
    data: DataConfig
    model: ModelConfig
    loss: Loss
    optimizer: Optimizer
    scheduler: Scheduler = NoScheduler(name="none")
    stages: Annotated[tuple[dict[str, Any], ...], Field(strict=False)] = ()
    epochs: Count = 10
    batch_size: Count = 32
    select_by: str = "accuracy"  # a figure of covid/evaluation, which checks it, or loss
    precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    cache_features: Literal["auto", "on", "off"] = "auto"
    gradient_accumulation: Count = 1
    gradient_clip: Positive | None = None
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    compile: bool = False
    checkpoint_minutes: Positive = 10.0
    tracker: str | None = None  # a name that Accelerate knows

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        fitting = ("cross_entropy",) if self.task == "single_label" else ("bce", "focal")
        if self.loss.name not in fitting:
            raise ValueError(
                f"loss.name: {self.loss.name} does not fit task {self.task}, "
                f"which takes {' or '.join(fitting)}"
            )
        for key, true in self.data.labels.items():
            if not key.strip() or key != key.strip() or JOINED in key or key.endswith(DOUBT):
                raise ValueError(
                    f"data.labels: the key {key!r} is none that a manifest can name: it may not be "
                    f"empty, contain {JOINED!r}, end with {DOUBT!r}, or begin or end with a space"
                )
            if self.task == "single_label" and len(true) != 1:
                raise ValueError(
                    f"data.labels.{key}: single_label takes exactly one label here, "
                    f"but {', '.join(true) or 'none'} stand there (task: multilabel takes any)"
                )
            if len(set(true)) != len(true):
                raise ValueError(f"data.labels.{key}: a label stands there twice")
            if any(SEPARATOR in label for label in true):
                raise ValueError(f"data.labels.{key}: a label may not contain {SEPARATOR!r}")
        if self.task == "single_label" and self.data.uncertain == "negative":
            raise ValueError(
                "data.uncertain: negative leaves an image in doubt no label, and single_label "
                "gives each image one (ignore and positive do not)"
            )
        space = self.label_space
        if len(space.classes) < 2:
            raise ValueError("data.labels: at least two different labels are needed")
        for key, true in self.data.labels.items():
            implied = {other for label in true for other in space.implies.get(label, ())}
            if not implied <= set(true):
                raise ValueError(
                    f"data.labels.{key}: lacks {', '.join(sorted(implied - set(true)))}, "
                    f"which other keys say is true wherever its labels are"
                )
        _check_weights(self.loss.positive_weight, space.classes)
        check_augment(self.data.augment, self.data.variants, self.cache_features)
        if self.cache_features == "on" and not self.data.cache:
            raise ValueError(
                "cache_features: on keeps features beside decoded images, which needs data.cache: "
                "true (auto and off do not)"
            )
        if self.stages:
            self._check_stages()
        else:
            self._check_epochs()
        return self

    def _check_epochs(self) -> None:
        """What holds of each stage, not of the config that stages differ from."""
        if isinstance(self.scheduler, Cosine) and self.scheduler.warmup_epochs >= self.epochs:
            raise ValueError("scheduler.warmup_epochs: must be smaller than epochs")
        if self.cache_features == "on" and self.model.trainable == "all":
            raise ValueError(
                "cache_features: on needs frozen layers, but model.trainable is all "
                "(auto and off do not)"
            )

    def _check_stages(self) -> None:
        for number, settings in enumerate(self.stages):
            for key, _ in leaves(settings):
                if not any(key == may or key.startswith(f"{may}.") for may in STAGE_KEYS):
                    raise ValueError(
                        f"stages.{number}.{key}: is not what a stage can set; it can set "
                        f"{', '.join(STAGE_KEYS)}"
                    )
            try:
                self._stage(settings)
            except ValidationError as error:
                raise ValueError(f"stages.{number}.{sentence(error.errors()[0], Config)}") from None

    def _stage(self, settings: dict[str, Any]) -> "Config":
        own = self.model_dump(mode="json", exclude={"stages"})
        return Config.model_validate(merge(own, nest(dict(leaves(settings))), ()))

    def plan(self) -> list["Config"]:
        """One config for each stage, in order; the config itself where it has no stages."""
        return [self._stage(settings) for settings in self.stages] or [self]

    @property
    def all_epochs(self) -> int:
        """Of the whole run."""
        return sum(stage.epochs for stage in self.plan())

    @property
    def label_space(self) -> LabelSpace:
        return LabelSpace.from_labels(self.task, self.data.labels, self.data.uncertain)

    def with_roots(self, roots: Sequence[Path]) -> "Config":
        """The same with images in other folders; where relative, of the working directory."""
        absolute = tuple(str(root.absolute()) for root in roots)
        data = self.data.model_copy(update={"root": absolute if len(absolute) > 1 else absolute[0]})
        return self.model_copy(update={"data": data})

    def to_yaml(self) -> str:
        """All keys, in the order of this class; reads back as the same config."""
        return yaml.safe_dump(
            self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100
        )


def _check_weights(weights: ClassWeights | None, classes: Sequence[str]) -> None:
    """Raises ValueError where `weights` names or counts other classes."""
    if isinstance(weights, dict) and not set(weights) <= set(classes):
        unknown = ", ".join(sorted(set(weights) - set(classes)))
        raise ValueError(
            f"loss.positive_weight: {unknown} is no class; the classes are {', '.join(classes)}"
        )
    if isinstance(weights, tuple) and len(weights) != len(classes):
        raise ValueError(
            f"loss.positive_weight: must hold {len(classes)} numbers, for {', '.join(classes)}, "
            f"not {len(weights)}"
        )


def load_config(path: Path, settings: Sequence[str] = ()) -> Config:
    """The config in a file, its `base:` files under it and `settings` (`KEY=VALUE`) over it.

    Relative paths in `settings` start at the working directory, those in files at PROJECT.
    Raises ConfigError: one sentence that names the file and the key.
    """
    tree = read_tree(path, settings)
    source = f"{path} with --set" if settings else str(path)
    return config_from_tree(tree, source)


def config_from_tree(tree: dict[str, Any], source: str) -> Config:
    """A config from plain values, as `model_dump` gives them; `source` is what an error names."""
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        # One mistake at a time; an unknown key first, since it often explains a missing one.
        details = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        raise ConfigError(f"{source}: {sentence(details[0], Config)}.") from None


def resolve(path: str) -> Path:
    """A path of a config, absolute: what is relative starts at PROJECT."""
    return PROJECT / Path(path).expanduser()
