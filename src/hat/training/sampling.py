"""Which SubTransformers an update of the SuperTransformer trains."""

import random

from hat.architecture import Architecture
from hat.space import DesignSpace


class UniformSampling:
    """One SubTransformer an update, every gene uniform (HAT, section 3.2; docs/reference.md, Sampling)."""

    def __init__(self, space: DesignSpace, seed: int = 0) -> None:
        self.space = space
        self.seed = seed

    def architectures(self, update: int) -> list[Architecture]:
        """The draw depends on seed and update alone, so a resumed training goes on with the same ones."""
        return [self.space.sample(random.Random(self.seed + update))]
