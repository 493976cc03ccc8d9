from collections.abc import Mapping, Sequence
from typing import Any

class Engine:
    def __init__(
        self,
        config: dict[str, Any],
        weights: Mapping[str, Any],
        threads: int,
        processors: int,
        instruction_set: str,
    ) -> None: ...
    def translate(
        self, sources: Sequence[Sequence[int]], options: dict[str, Any]
    ) -> list[list[tuple[tuple[int, ...], float, tuple[float, ...]]]]: ...
    def score(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[list[float]]: ...
    @property
    def instruction_set(self) -> str: ...
    @property
    def packed_bytes(self) -> int: ...
    @property
    def workspace_bytes(self) -> int: ...

def instruction_sets() -> list[dict[str, Any]]: ...
def choose(name: str) -> str: ...
