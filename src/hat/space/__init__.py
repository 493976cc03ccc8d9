"""The design space: which SubTransformers may be built."""

from hat.space.design_space import DesignSpace

__all__ = ["DesignSpace"]
