"""The recorded outputs of the published code, beside our network with the same weights."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from hat.architecture import Architecture
from hat.interop import architecture_from_reference, load_reference_checkpoint, reference_names
from hat.model import Dropout, SuperTransformer
from hat.runtime import DecodeOptions

GOLDEN = Path(__file__).with_name("data")
TAGS = ("wmt", "iwslt")
CASES = (
    "largest",
    "smallest_1dec",
    "e32_d40_mixed",
    "e40_d32_mixed",
    "all_arb2",
    "e40_d40_2dec",
)
# The published limits, 1 to 20 tokens, leave the final </s> out; ours count it.
OPTIONS = DecodeOptions(beam=5, nbest=5, min_length=2, max_length_offset=21)

SETTINGS = {
    "default": OPTIONS,
    "lenpen0.6": replace(OPTIONS, length_penalty=0.6),
    "beam4_lenpen0.6": replace(OPTIONS, length_penalty=0.6, beam=4, nbest=4),
    "unnormalized": replace(OPTIONS, length_penalty=0.0),
}

every_case = pytest.mark.parametrize(("tag", "case"), list(product(TAGS, CASES)))
every_tag = pytest.mark.parametrize("tag", TAGS)


@dataclass(frozen=True)
class GoldenCase:
    """One SubTransformer. Tensors: source (B, S), target_in and target_out (B, T)."""

    network: SuperTransformer
    architecture: Architecture
    arrays: dict[str, npt.NDArray[Any]]

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])

    @property
    def source(self) -> Tensor:
        return self.tensor("src_tokens")

    @property
    def target_in(self) -> Tensor:
        return self.tensor("prev_output_tokens")

    @property
    def target_out(self) -> Tensor:
        return self.tensor("target")


def read_case(tag: str, case: str) -> GoldenCase:
    network = read_network(tag)
    fields = read_json(f"{tag}_meta.json")["configs"][case]
    architecture = architecture_from_reference(fields, network.config.architecture.qkv_dim)
    with np.load(GOLDEN / f"{tag}_{case}.npz") as arrays:
        return GoldenCase(network, architecture, dict(arrays))


def checkpoint(tag: str) -> Path:
    return GOLDEN / f"{tag}_checkpoint.pt"


@cache
def read_network(tag: str) -> SuperTransformer:
    return load_reference_checkpoint(checkpoint(tag))


def without_dropout(network: SuperTransformer) -> SuperTransformer:
    """A copy to train."""
    copy = SuperTransformer(network.config, Dropout())
    copy.load_state_dict(network.state_dict())
    return copy


def read_json(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text())


def published_name(name: str) -> str:
    """The published tensor that holds our weight `name`, alone or with others."""
    return re.sub(r"\.[qkv]_proj_", ".in_proj_", reference_names(name)[0])


def published_norms(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, float]:
    """Published name → Euclidean norm, of the published tensors that ours make up."""
    squares: dict[str, float] = defaultdict(float)
    for name, tensor in tensors:
        squares[published_name(name)] += float(tensor.detach().double().square().sum())
    return {name: square**0.5 for name, square in squares.items()}
