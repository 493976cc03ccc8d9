"""The measuring protocol, without which a latency means nothing: engine, lengths, threads, rounds."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass, fields
from typing import Any

import numpy as np

from hat.arguments import check_count, plain_numbers
from hat.errors import UserError, shown
from hat.files import check_keys, digest
from hat.runtime import DecodeOptions, check_precision

# The most calls that warm a model up.
MOST_WARMUP = 20
# Field → its key in JSON, where they differ.
JSON_KEYS = {"accelerator": "device"}


@dataclass(frozen=True)
class MeasureProtocol:
    """The rules of a measurement. One timed call decodes every pair of lengths once. Raises UserError.

    - `source_lengths`, `target_lengths`: pairs of numbers of tokens, </s> included. A source of S random
      tokens is decoded for exactly T steps, beam search and output projection included.
    - `batch`: sentences decoded together.
    - `accelerator`: "cpu" or "cuda". In JSON its key is "device", so that measurements stay comparable with
      those made under that name.
    - `warmup`: the least number of untimed calls; they go on until calls take about equally long.
    - `rounds`, `interval`: a model is timed once a round, until the 95% confidence interval of its latency is
      within ± `interval` (a share) of it, checked after 8, 16, 32, … rounds, or for `rounds` rounds, at least
      8, since fewer have no such interval.
    """

    source_lengths: tuple[int, ...]
    target_lengths: tuple[int, ...]
    _: KW_ONLY
    engine: str = "torch"
    threads: int = 1
    precision: str = "float32"
    beam: int = 5
    batch: int = 1
    accelerator: str = "cpu"
    warmup: int = 1
    rounds: int = 60
    interval: float = 0.02

    def __post_init__(self) -> None:
        plain_numbers(self)
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == tuple[int, ...]:
                object.__setattr__(self, field.name, _counts(value, field.name))
            elif field.type is int:
                check_count(field.name, value)
            elif field.type is float:
                _check_share(value, field.name)
            elif not isinstance(value, str):
                raise UserError(f"{field.name}: {shown(value)} is not a name")
        check_precision(self.precision, "precision")
        if len(self.source_lengths) != len(self.target_lengths):
            raise UserError(
                f"target_lengths: {len(self.target_lengths)} lengths for "
                f"{len(self.source_lengths)} source_lengths; they are pairs"
            )

    @classmethod
    def from_dict(cls, value: object, where: str = "protocol") -> "MeasureProtocol":
        """Read strictly. Raises UserError."""
        names = {JSON_KEYS.get(field.name, field.name): field.name for field in fields(cls)}
        keys: Mapping[str, Any] = check_keys(value, names, where, optional=[*names][2:])
        try:
            return cls(**{names[key]: value for key, value in keys.items()})
        except UserError as error:
            raise UserError(f"{where}: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """JSON data, as `from_dict` reads it."""
        return {
            JSON_KEYS.get(name, name): list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }

    def digest(self) -> str:
        """This protocol's name in stores: twelve hexadecimal digits."""
        return digest(self.to_dict())[:12]

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The pairs of source and target lengths that one call decodes."""
        return tuple(zip(self.source_lengths, self.target_lengths, strict=True))

    @property
    def sentences(self) -> int:
        """Sentences decoded in one call."""
        return self.batch * len(self.source_lengths)


def forced_options(beam: int, steps: int) -> DecodeOptions:
    """Options for a beam search that takes exactly `steps` steps."""
    return DecodeOptions(beam=beam, min_length=steps, max_length_offset=steps)


def random_sources(protocol: MeasureProtocol, vocabulary: int, seed: int) -> list[list[list[int]]]:
    """For each pair of lengths, a batch of sources: random ids above those of the special tokens, then
    </s>."""
    rng = np.random.default_rng(seed)
    return [
        [[*rng.integers(4, vocabulary, length - 1).tolist(), 2] for _ in range(protocol.batch)]
        for length in protocol.source_lengths
    ]


def _counts(values: object, name: str) -> tuple[int, ...]:
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    if not isinstance(listed, list | tuple) or not listed:
        raise UserError(f"{name}: {shown(values)} is not a list of lengths")
    plain = tuple(value.item() if isinstance(value, np.generic) else value for value in listed)
    for value in plain:
        check_count(name, value)
    return plain


def _check_share(value: object, name: str) -> None:
    if not isinstance(value, float | int) or isinstance(value, bool) or not 0 <= value < 1:
        raise UserError(f"{name}: {shown(value)} is not a share between 0 and 1")
