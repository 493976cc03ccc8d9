"""The objectives: every cost of a model that a search can limit, by its name.

Recipes, predictors, searches, verification and tables work with whatever OBJECTIVES lists.
docs/add/objective.md says how to add one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from hat.architecture import ModelConfig, cost, weight_counts
from hat.hardware import Bench, MeasureProtocol
from hat.runtime import Artefact
from hat.runtime.weights.precision import stored_tensors, usual_books
from hat.runtime.weights.tensor_file import file_bytes

BYTES = {"kB": 1e3, "MB": 1e6, "GB": 1e9}
NUMBERS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}


@dataclass(frozen=True)
class Objective:
    """A cost of a model: smaller is better.

    `units`: the suffixes that a limit may have, ascending, with their values in the unit of all figures (for
    bytes {"kB": 1000, …}). One of two functions gives the figures: `count` computes a model's exact figure
    from its shapes and the precision of its weights; `measure` returns as many figures as asked for from a
    device, or None if the device does not report them. Architectures in a search are then predicted by a
    regression of measured figures on `features` (see `hat.predictor.features`). Latency has neither, since it
    is timed beside the largest SubTransformer, in the same rounds (`hat.hardware.measuring`).
    """

    name: str
    about: str
    units: Mapping[str, float]
    count: Callable[[ModelConfig, str], float] | None = None
    measure: Callable[[Bench, ModelConfig, MeasureProtocol, int], Sequence[float] | None] | None = None
    features: str = "weights"

    def written(self, value: float, digits: int = 4) -> str:
        """A figure in the largest unit that leaves at least one digit before the point: `61.2 MB`."""
        fitting = [unit for unit, size in self.units.items() if value >= size]
        unit = fitting[-1] if fitting else next(iter(self.units))
        return f"{value / self.units[unit]:.{digits}g} {unit}".rstrip()


def peak_memory(
    bench: Bench, model: ModelConfig, protocol: MeasureProtocol, count: int
) -> Sequence[float] | None:
    """Peak resident bytes of `count` fresh processes on the device that decode each pair of lengths once."""
    with TemporaryDirectory() as folder:
        artefact = Path(folder) / "artefact"
        Artefact.random(model, seed=0, precision=protocol.precision).save(artefact)
        peaks = [bench.peak_memory(artefact, protocol) for _ in range(count)]
    known = [float(peak) for peak in peaks if peak is not None]
    return known if len(known) == count else None


def weights_bytes(model: ModelConfig, precision: str) -> float:
    """Bytes of an exported artefact's model.safetensors; its configuration and tokenizer are not counted."""
    return file_bytes(stored_tensors(model, precision, usual_books(precision)))


def parameters(model: ModelConfig, precision: str) -> float:
    """Weights and biases, embeddings included, whatever their precision."""
    return weight_counts(model)[1]


def flops(model: ModelConfig, precision: str) -> float:
    """FLOPs of a pass over 30 source and 30 target tokens, by the published rules (as `hat cost`)."""
    return cost(model.architecture).flops


LATENCY = Objective("latency", "of a sentence on the device", {"ms": 1.0}, features="layers")
OBJECTIVES = {
    one.name: one
    for one in (
        LATENCY,
        Objective("memory", "peak resident memory on the device", BYTES, measure=peak_memory),
        Objective("size", "of the artefact's model.safetensors", BYTES, count=weights_bytes),
        Objective("parameters", "with embeddings", NUMBERS, count=parameters),
        Objective("flops", "of 30 source and 30 target tokens", NUMBERS, count=flops),
    )
}
