"""The compiled module (native/module.cpp)."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from numpy.typing import NDArray

class InstructionSet(TypedDict):
    """`built`: the compiler knew it; `supported`: this processor has it."""

    name: str
    built: bool
    supported: bool

class Engine:
    """A packed model and its threads; raises ValueError for what does not fit."""

    def __init__(
        self,
        config: dict[str, Any],
        weights: Mapping[str, NDArray[Any]],
        threads: int,
        instruction_set: str,
    ) -> None: ...
    def translate(
        self,
        sources: Sequence[Sequence[int]],
        beam: int,
        length_penalty: float,
        nbest: int,
        min_length: int,
        max_length_factor: float,
        max_length_offset: int,
    ) -> list[list[tuple[tuple[int, ...], float, tuple[float, ...]]]]:
        """For each source its hypotheses, best first: tokens, score and scores of the tokens."""

    def score(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[list[float]]: ...
    @property
    def instruction_set(self) -> str: ...
    @property
    def packed_bytes(self) -> int: ...
    @property
    def workspace_bytes(self) -> int: ...

def instruction_sets() -> list[InstructionSet]:
    """All of this architecture, best first."""

def choose(name: str) -> str:
    """The instruction set that `name` (or "auto") stands for. Raises ValueError naming the choices."""
