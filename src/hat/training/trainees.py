"""The models that the loop trains: a single one, or a SuperTransformer through its SubTransformers."""

import random
from collections.abc import Mapping
from functools import partial
from typing import Protocol

from torch import nn

from hat.architecture import Architecture
from hat.model import SuperTransformer, TranslationModel
from hat.space import DesignSpace
from hat.training.loss import Network


class Trainee(Protocol):
    """One module, seen through one or more networks."""

    @property
    def module(self) -> nn.Module:
        """The owner of the parameters that are optimised and saved."""

    def networks(self, update: int) -> list[Network]:
        """The networks whose losses update `update` adds up."""

    def validated(self) -> Mapping[str, Network]:
        """The networks whose mean validation loss decides which weights are best, by name."""


class SubTrainee:
    """A single model: a SubTransformer or a baseline."""

    def __init__(self, model: TranslationModel) -> None:
        self.module = model

    def networks(self, update: int) -> list[Network]:
        return [self.module]

    def validated(self) -> Mapping[str, Network]:
        return {"model": self.module}


class UniformSampling:
    """One SubTransformer an update, every gene uniform (HAT, section 3.2; docs/reference.md, Sampling)."""

    def __init__(self, space: DesignSpace, seed: int = 0) -> None:
        self.space = space
        self.seed = seed

    def architectures(self, update: int) -> list[Architecture]:
        """The draw depends on seed and update alone, so that a resumed training draws the same ones."""
        return [self.space.sample(random.Random(self.seed + update))]


class SuperTrainee:
    """A SuperTransformer, through the SubTransformers that a sampling strategy draws."""

    def __init__(self, model: SuperTransformer, sampling: UniformSampling, smallest: Architecture) -> None:
        self.model = model
        self.module = model.largest
        self.sampling = sampling
        self.ends = {"largest": model.config.architecture, "smallest": smallest}

    def networks(self, update: int) -> list[Network]:
        self.model.train(self.module.training)
        return [partial(self.model, architecture) for architecture in self.sampling.architectures(update)]

    def validated(self) -> Mapping[str, Network]:
        self.model.train(self.module.training)
        return {name: partial(self.model, architecture) for name, architecture in self.ends.items()}
