"""Sampling strategies: the SubTransformers whose losses an update of a SuperTransformer adds up.

The draws of an update depend on its number and the seed alone, so that a resumed training and every process
of a distributed one draw the same.
"""

import random
from collections.abc import Callable
from typing import Literal, Protocol

from hat.architecture import Architecture
from hat.space import DesignSpace

SamplingName = Literal["uniform", "fair", "sandwich", "distilled-sandwich"]


class Sampling(Protocol):
    """One strategy. `distils`: the first SubTransformer of an update teaches the others, which see no
    references then."""

    distils: bool

    def architectures(self, update: int) -> list[Architecture]:
        """The SubTransformers of update `update`, counted from 0."""


class UniformSampling:
    """Every gene uniform (HAT, section 3.2; docs/reference.md, Sampling). `draws`: SubTransformers an update,
    one as published."""

    distils = False

    def __init__(self, space: DesignSpace, seed: int = 0, draws: int = 1) -> None:
        self.space, self.seed, self.draws = space, seed, draws

    def architectures(self, update: int) -> list[Architecture]:
        numbers = range(update * self.draws, (update + 1) * self.draws)
        return [self.space.sample(random.Random(self.seed + number)) for number in numbers]


class FairSampling(UniformSampling):
    """Every choice of a gene equally often, not only in expectation: strict fairness (Chu et al. 2021,
    "FairNAS", section 3). The choices of a gene come in rounds, each in an order of its own; with one draw an
    update a round takes as many updates as the gene has choices, which costs no more than uniform sampling.
    """

    def architectures(self, update: int) -> list[Architecture]:
        numbers = range(update * self.draws, (update + 1) * self.draws)
        return [self.space.decode(self._genes(number)) for number in numbers]

    def _genes(self, number: int) -> list[int]:
        genes = []
        for gene, choices in enumerate(self.space.gene_choices):
            turn, place = divmod(number, len(choices))
            order = random.Random(f"{self.seed} {gene} {turn}").sample(choices, len(choices))
            genes.append(order[place])
        return genes


class SandwichSampling(UniformSampling):
    """The largest and the smallest SubTransformer, which bound the quality of the others, and `draws` uniform
    ones (Yu and Huang 2019, "Universally slimmable networks", section 3.2)."""

    def architectures(self, update: int) -> list[Architecture]:
        return [self.space.largest(), self.space.smallest(), *super().architectures(update)]


class DistilledSandwichSampling(SandwichSampling):
    """A sandwich in which the largest SubTransformer's predictions teach the others: in-place distillation
    (Yu and Huang 2019, section 3.3). No gradient reaches the largest through what it teaches."""

    distils = True


SAMPLINGS: dict[SamplingName, Callable[[DesignSpace, int, int], Sampling]] = {
    "uniform": UniformSampling,
    "fair": FairSampling,
    "sandwich": SandwichSampling,
    "distilled-sandwich": DistilledSandwichSampling,
}
