from collections.abc import Mapping, Sequence
from typing import Any, Final

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
    instruction_set: Final[str]
    packed_bytes: Final[int]
    workspace_bytes: Final[int]

def instruction_sets() -> list[dict[str, Any]]: ...
def choose(name: str) -> str: ...
