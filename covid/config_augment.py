"""The augmentations that `data.augment` can list: their names, parameters and bounds.

docs/configuration.md has the same as a table; covid/data/augment.py does what they say. Bounds
are far wider than what helps: they keep out slips, such as percents where shares are meant.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from covid.config_sections import Section, Within

Pair = tuple[float, float]
Probability = Annotated[float, Field(gt=0, le=1)]
Degrees = Annotated[Pair, BeforeValidator(Within(-180, 180, neutral=0))]
ShearDegrees = Annotated[Pair, BeforeValidator(Within(-60, 60, neutral=0))]
Scale = Annotated[Pair, BeforeValidator(Within(0.1, 10, neutral=1))]
Signed = Annotated[Pair, BeforeValidator(Within(-1, 1, neutral=0))]
Share = Annotated[Pair, BeforeValidator(Within(0, 1, neutral=0))]
Factor = Annotated[Pair, BeforeValidator(Within(0, 10, neutral=1))]
Exponent = Annotated[Pair, BeforeValidator(Within(0.1, 10, neutral=1))]
Pixels = Annotated[Pair, BeforeValidator(Within(0, 10, neutral=0))]


class AugmentSection(Section):
    """What all have: a name, and the share of images that are changed."""

    name: str
    probability: Probability = 1.0


class Flip(AugmentSection):
    name: Literal["flip"]
    probability: Probability = 0.5


class Affine(AugmentSection):
    name: Literal["affine"]
    degrees: Degrees = (0.0, 0.0)  # positive: clockwise
    scale: Scale = (1.0, 1.0)
    shift: Signed = (0.0, 0.0)  # share of the image's side, across and down
    shear: ShearDegrees = (0.0, 0.0)

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not self.model_fields_set & {"degrees", "scale", "shift", "shear"}:
            raise PydanticCustomError(
                "affine", "needs at least one of degrees, scale, shift and shear"
            )
        return self


class Gamma(AugmentSection):
    name: Literal["gamma"]
    range: Exponent  # grey levels of 0..1 to this power


class Contrast(AugmentSection):
    name: Literal["contrast"]
    range: Factor  # distances from the image's own mean times this


class Brightness(AugmentSection):
    name: Literal["brightness"]
    range: Signed  # share of white that is added


class Equalize(AugmentSection):
    name: Literal["equalize"]
    share: Share = (1.0, 1.0)  # of the equalised image in what is shown


class Cutout(AugmentSection):
    name: Literal["cutout"]
    size: Share  # the black square's side, a share of the image's


class Noise(AugmentSection):
    name: Literal["noise"]
    deviation: Share  # of normal noise, a share of white


class Blur(AugmentSection):
    name: Literal["blur"]
    sigma: Pixels  # deviation of the Gaussian, pixels


class Mixup(AugmentSection):
    name: Literal["mixup"]
    alpha: Annotated[float, Field(ge=0.01, le=10)]  # of Beta(alpha, alpha), Zhang et al. 2018


Augment = Annotated[
    Flip | Affine | Gamma | Contrast | Brightness | Equalize | Cutout | Noise | Blur | Mixup,
    Field(discriminator="name"),
]
Augments = Annotated[tuple[Augment, ...], Field(strict=False)]


def mixes(augment: Sequence[AugmentSection]) -> bool:
    """Whether images are mixed with others."""
    return any(isinstance(section, Mixup) for section in augment)


def check_augment(
    augment: Sequence[AugmentSection], variants: int | None, cache_features: str
) -> None:
    """Raises ValueError, with the key's name, where these do not fit together."""
    if sum(isinstance(section, Mixup) for section in augment) > 1:
        raise ValueError("data.augment: mixup may stand there once")
    if variants is not None and not augment:
        raise ValueError(
            "data.variants: is the number of drawings that data.augment makes of an image, "
            "and data.augment is empty; fill it, or set data.variants to null"
        )
    why = why_no_features(augment, variants)
    if cache_features == "on" and why:
        raise ValueError(f"cache_features: is on, but {why} (auto and off do not mind)")


def why_no_features(augment: Sequence[AugmentSection], variants: int | None) -> str | None:
    """Why features of frozen layers cannot be kept; None where they can."""
    if mixes(augment):
        return "mixup shows other mixtures in every epoch"
    if augment and variants is None:
        return "data.augment draws every image anew in every epoch; data.variants bounds that"
    return None
