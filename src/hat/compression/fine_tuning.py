"""Fine-tuning of code books: the codes stay, and the centroids they refer to are trained.

The gradient of a centroid is the sum of its weights' gradients (Han et al. 2016, "Deep Compression",
section 3.3). Biases, norms and matrices that have no code book are trained beside them.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hat.model import Dropout, build
from hat.runtime import Artefact
from hat.runtime.weights import (
    BOOK,
    KMEANS_BITS,
    TABLE_BITS,
    Array,
    book_of_rows,
    on_steps,
    pack,
    unpack_codes,
)


class LookUp(nn.Module):
    """A parametrization: a matrix [..., O, I] from its code books (G, K), which are the parameter."""

    index: Tensor

    def __init__(self, index: Tensor, books: Tensor) -> None:
        super().__init__()
        self.register_buffer("index", index, persistent=False)
        self._initial = books

    def forward(self, books: Tensor) -> Tensor:
        matrix: Tensor = _Take.apply(books, self.index)  # type: ignore[no-untyped-call]
        return matrix

    def right_inverse(self, weight: Tensor) -> Tensor:
        """The code books before training; the matrix they replace is not needed."""
        return self._initial


class _Take(torch.autograd.Function):
    """books.flatten()[index]; backwards a count, which is much faster than scattering on CPUs."""

    @staticmethod
    def forward(context: Any, books: Tensor, index: Tensor) -> Tensor:
        context.save_for_backward(index)
        context.shape = books.shape
        return books.flatten().index_select(0, index.flatten()).view(index.shape)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (index,), (gradient,) = context.saved_tensors, gradients
        count = context.shape.numel()
        sums = torch.bincount(index.flatten(), gradient.flatten().double(), minlength=count)
        return sums.to(gradient.dtype).view(context.shape), None


class CodeBookTrainee:
    """A k-means artefact as `hat.training.train` takes it.

    The network's matrices are looked up once a pass; its parameters are code books, biases, norms
    and matrices without code books.
    """

    distils = False

    def __init__(self, artefact: Artefact, dropout: Dropout) -> None:
        self.artefact = artefact
        self.module = build(artefact.config.model, dropout)
        weights = artefact.float_weights()
        self.module.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})
        self._books = [name.removesuffix(BOOK) for name in artefact.weights if name.endswith(BOOK)]
        for name in self._books:
            path, _, attribute = name.rpartition(".")
            owner, look_up = self.module.get_submodule(path), self._look_up(name, weights[name].shape)
            parametrize.register_parametrization(owner, attribute, look_up)

    def networks(self, update: int) -> list[Any]:
        """The network, which is the same at every update."""
        return [partial(_looked_up, self.module)]

    def validated(self) -> Mapping[str, Any]:
        """The network, for validation."""
        return {"model": partial(_looked_up, self.module)}

    def quantized(self, provenance: Mapping[str, Any]) -> Artefact:
        """The artefact with the same codes, the trained code books and weights, and `provenance` added."""
        config = self.artefact.config
        config = replace(config, provenance={**config.provenance, **provenance})
        packed = dict(self.artefact.weights)
        for parameter, value in self.module.named_parameters():
            array = value.detach().numpy().copy()
            name, looked_up = _weight_name(parameter)
            if looked_up:
                by_table = KMEANS_BITS[config.precision] <= TABLE_BITS
                packed[name + BOOK] = on_steps(array) if by_table else array
            else:
                packed |= pack(name, array, config.precision, config.code_books)
        return replace(self.artefact, config=config, weights=packed)

    def _look_up(self, name: str, shape: tuple[int, ...]) -> LookUp:
        config, weights = self.artefact.config, self.artefact.weights
        books: Array = weights[name + BOOK]
        codes = unpack_codes(weights[name], KMEANS_BITS[config.precision], shape[-1]).reshape(-1, shape[-1])
        first = books.shape[1] * book_of_rows(len(codes), config.code_books)
        index = (codes + first[:, None]).astype(np.int32).reshape(shape)
        return LookUp(torch.from_numpy(index), torch.from_numpy(books.copy()))


def _looked_up(module: nn.Module, source: Tensor, target_in: Tensor) -> Tensor:
    """Logits; a matrix that is used several times is looked up once."""
    with parametrize.cached():
        logits: Tensor = module(source, target_in)
    return logits


def _weight_name(parameter: str) -> tuple[str, bool]:
    """The name of the weight that a parameter stands for; true if that weight is looked up in code books."""
    path, looked_up, tail = parameter.rpartition("parametrizations.")
    return (path + tail.removesuffix(".original"), True) if looked_up else (parameter, False)
