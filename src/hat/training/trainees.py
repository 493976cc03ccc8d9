"""The models that the loop trains: a single one, or a SuperTransformer through its SubTransformers."""

from collections.abc import Mapping
from functools import partial
from typing import Protocol

from torch import Tensor, nn
from torch.func import functional_call

from hat.architecture import Architecture
from hat.model import Lend, SuperTransformer, TranslationModel, borrow
from hat.training.loss import Network
from hat.training.sampling import Sampling


class Trainee(Protocol):
    """One module, seen through one or more networks."""

    @property
    def module(self) -> nn.Module:
        """The owner of the parameters that are optimised and saved."""

    @property
    def distils(self) -> bool:
        """True if the first network of an update teaches the others."""

    def networks(self, update: int) -> list[Network]:
        """The networks whose losses update `update` averages."""

    def validated(self) -> Mapping[str, Network]:
        """The networks whose mean validation loss decides which weights are best, by name; the largest one
        comes first."""


class SubTrainee:
    """A single model: a SubTransformer or a baseline."""

    distils = False

    def __init__(self, model: TranslationModel) -> None:
        self.module = model

    def networks(self, update: int, lend: Lend | None = None) -> list[Network]:
        """The model, on its own weights or on those of `lend`."""
        return [self.module if lend is None else partial(self._lent, lend)]

    def largest(self, lend: Lend) -> Network:
        """The model on the weights of `lend`."""
        return partial(self._lent, lend)

    def _lent(self, lend: Lend, source: Tensor, target_in: Tensor) -> Tensor:
        weights = borrow(self.module.config, lend)
        return functional_call(self.module, weights, (source, target_in))  # type: ignore[no-any-return]

    def validated(self) -> Mapping[str, Network]:
        return {"model": self.module}


class SuperTrainee:
    """A SuperTransformer, through the SubTransformers that a sampling strategy draws."""

    def __init__(self, model: SuperTransformer, sampling: Sampling, smallest: Architecture) -> None:
        self.model = model
        self.module = model.largest
        self.sampling = sampling
        self.distils = sampling.distils
        self.ends = {"largest": model.config.architecture, "smallest": smallest}

    def networks(self, update: int, lend: Lend | None = None) -> list[Network]:
        """The drawn SubTransformers, on lent weights or on those of `lend`."""
        self.model.train(self.module.training)
        architectures = self.sampling.architectures(update)
        return [partial(self.model, architecture, lend=lend) for architecture in architectures]

    def largest(self, lend: Lend) -> Network:
        """The largest SubTransformer on the weights of `lend`."""
        self.model.train(self.module.training)
        return partial(self.model, self.ends["largest"], lend=lend)

    def validated(self) -> Mapping[str, Network]:
        self.model.train(self.module.training)
        return {name: partial(self.model, architecture) for name, architecture in self.ends.items()}
