"""The interface of all engines: token ids in, hypotheses out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from hat.arguments import check_choice, check_range, whole_number
from hat.engine_specs import DEVICES, ENGINES
from hat.errors import UserError, shown
from hat.runtime.decoding import DecodeOptions, Hypothesis
from hat.threads import MOST_THREADS, available_threads


@dataclass(frozen=True)
class EngineSettings:
    """Settings of an engine. `threads`: processor threads of one call. `device`: one of DEVICES.
    `instruction_set`: name of the kernels to use, for engines that have several; "auto": the best that this
    processor has. Raises UserError.
    """

    threads: int = 1
    device: str = "cpu"
    instruction_set: str = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "threads", whole_number("threads", self.threads))
        if self.threads > MOST_THREADS:
            raise UserError(
                f"threads: {self.threads} is more than {MOST_THREADS}; this process may use "
                f"{available_threads()} processors"
            )
        check_range("threads", self.threads, 1, MOST_THREADS)
        check_choice("device", self.device, DEVICES)
        if not isinstance(self.instruction_set, str):
            raise UserError(f"instruction_set: {shown(self.instruction_set)} is not a name")

    def engines(self, candidates: Iterable[str]) -> tuple[str, ...]:
        """The `candidates` that can have these settings. Raises UserError naming one that leaves none."""
        able, any_set = tuple(candidates), self.instruction_set == "auto"
        on_device = [name for name, spec in ENGINES.items() if self.device in spec.devices]
        with_set = [name for name, spec in ENGINES.items() if spec.instruction_sets or any_set]
        for setting, owners in (("device", on_device), ("instruction_set", with_set)):
            fitting = tuple(name for name in able if name in owners)
            if not fitting:
                raise UserError(
                    f"{setting}: {shown(getattr(self, setting))} is for the {' or '.join(owners)} engine "
                    f"only, not {', '.join(able)}"
                )
            able = fitting
        return able


class Engine(Protocol):
    """Runs one model; safe to call from several threads. `name` is one of ENGINES."""

    name: str

    def translate(self, sources: Sequence[Sequence[int]], options: DecodeOptions) -> list[list[Hypothesis]]:
        """For each source (ids including the final </s>) its `options.nbest` best hypotheses, best first."""

    def score(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[tuple[float, ...]]:
        """For each pair the log-probability of every target token; both sides include the final </s>."""

    def close(self) -> None:
        """Release the engine's memory and threads; it is not used afterwards."""
