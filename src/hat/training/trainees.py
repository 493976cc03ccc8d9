"""What the loop trains: one model of its own, or a SuperTransformer through its SubTransformers."""

from collections.abc import Mapping
from functools import partial
from typing import Protocol

from torch import nn

from hat.architecture import Architecture
from hat.model import SuperTransformer, TranslationModel
from hat.training.loss import Network
from hat.training.sampling import UniformSampling


class Trainee(Protocol):
    """What the loop trains: one module, seen through one or more networks."""

    @property
    def module(self) -> nn.Module:
        """Whose parameters are optimised and saved."""

    def networks(self, update: int) -> list[Network]:
        """The networks whose losses update `update` adds up."""

    def validated(self) -> Mapping[str, Network]:
        """The networks whose mean validation loss says which weights are best."""


class SubTrainee:
    """One model of its own: a SubTransformer or a baseline."""

    def __init__(self, model: TranslationModel) -> None:
        self.module = model

    def networks(self, update: int) -> list[Network]:
        return [self.module]

    def validated(self) -> Mapping[str, Network]:
        return {"model": self.module}


class SuperTrainee:
    """A SuperTransformer, through the SubTransformers a sampling strategy draws."""

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
