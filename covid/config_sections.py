"""What the sections of a config are made of: strict types, bounds, ranges."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

Names = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
AnyNames = Annotated[tuple[str, ...], Field(strict=False)]  # none, too
Fraction = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
LayerDecay = Annotated[float, Field(gt=0, le=1)]  # of the rate, from one layer to the one below


class Section(BaseModel):
    """Types are taken as written, unknown keys are errors, and nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


@dataclass(frozen=True)
class Within:
    """Reads a range of `low`..`high`: a pair as it is, a number as what is that far from `neutral`.

    `neutral` changes nothing. A number reaches to both sides of it, or up where it is the lowest.
    """

    low: float
    high: float
    neutral: float

    def __call__(self, given: object) -> tuple[float, float]:
        """Raises PydanticCustomError where `given` is no such range."""
        pair = given if isinstance(given, list | tuple) else (given, given)
        if len(pair) == 2 and all(type(end) in (int, float) for end in pair):
            first, last = (float(end) for end in pair)
            if pair is not given:
                first, last = max(self.neutral - last, self._lowest), self.neutral + last
            if self.low <= first <= last <= self.high:
                return first, last
        raise PydanticCustomError("range", "must be {what}", {"what": self._what})

    @property
    def _lowest(self) -> float:
        return self.low if self.low == self.neutral else float("-inf")

    @property
    def _what(self) -> str:
        reach = f"the most to both sides of {self.neutral:g}"
        number = "the highest" if self.low == self.neutral else reach
        return f"a number, {number}, or [low, high], within {self.low:g}..{self.high:g}"
