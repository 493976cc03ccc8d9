"""A ranking of architectures by their quality when trained alone, from the quality that they inherit.

Weight sharing treats architectures unequally: by inherited quality, those with more capacity come out too
low. A linear model of inherited quality and three measures of capacity corrects that. Its features and the
strength of its ridge are fixed, so that nothing is chosen by the few architectures that were trained alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import log1p
from pathlib import Path
from typing import Any

import numpy as np

from hat.architecture import Architecture, cost
from hat.errors import UserError, shown
from hat.files import check_keys, read_json
from hat.predictor.features import Array


def decoder_depth(architecture: Architecture) -> int:
    """The layers that a decoder step runs, those that run again with the same weights included."""
    return sum(layer.passes for layer in architecture.decoder.layers)


# Sums over layers: their logarithms, since the gain by more units falls as there are more.
CAPACITY: dict[str, Callable[[Architecture], float]] = {
    "decoder depth": decoder_depth,
    "log of FFN units in the encoder": lambda a: log1p(sum(x.ffn_dim for x in a.encoder.layers)),
    "log of FFN units in the decoder": lambda a: log1p(sum(x.ffn_dim for x in a.decoder.layers)),
}
# Of the ridge, relative to one standardised feature over all samples: halves the weight of a single feature.
STRENGTH = 1.0
FEWEST = 4  # architectures trained alone
# A file of qualities: one mapping for each architecture, with BLEU on two texts.
KEYS = ("architecture", "scratch", "inherited", "parameters_without_embeddings")
BLEU = ("valid_bleu", "test_bleu")


@dataclass(frozen=True, eq=False)
class TrainedAlone:
    """N architectures of one task, with the quality that they inherit and that of training them alone.

    Higher is better: BLEU, or the negative of a loss. Raises UserError for numbers that are not finite, for
    lengths that differ, and for fewer than FEWEST architectures.
    """

    architectures: Sequence[Architecture]
    inherited: Array  # (N,)
    alone: Array  # (N,)

    def __post_init__(self) -> None:
        for name in ("inherited", "alone"):
            object.__setattr__(self, name, _qualities(name, getattr(self, name), len(self.architectures)))
        if len(self.architectures) < FEWEST:
            raise UserError(
                f"{len(self.architectures)} architectures trained alone; a ranker needs at least {FEWEST}"
            )

    @classmethod
    def load(cls, path: Path) -> "TrainedAlone":
        """Read a JSON file: a list of mappings with the keys KEYS. Inherited is the BLEU on the validation
        text, which a search knows; alone is that on the test text. Raises UserError naming file and entry."""
        rows = read_json(path)
        if not isinstance(rows, list):
            raise UserError(f"{path}: expected a list of architectures with their qualities")
        architectures, inherited, alone = [], [], []
        for number, row in enumerate(rows):
            where = f"{path}: [{number}]"
            keys = check_keys(row, KEYS, where, optional=KEYS[3:])
            architectures.append(Architecture.from_dict(keys["architecture"], f"{where}.architecture"))
            inherited.append(check_keys(keys["inherited"], BLEU, f"{where}.inherited")["valid_bleu"])
            alone.append(check_keys(keys["scratch"], BLEU, f"{where}.scratch")["test_bleu"])
        try:
            return cls(architectures, np.array(inherited), np.array(alone))
        except UserError as error:
            raise UserError(f"{path}: {error}") from error

    def without(self, index: int) -> "TrainedAlone":
        """The same task without one of the architectures."""
        rest = [number for number in range(len(self.alone)) if number != index]
        kept = [self.architectures[number] for number in rest]
        return TrainedAlone(kept, self.inherited[rest], self.alone[rest])


@dataclass(frozen=True, eq=False)
class QualityRanker:
    """Scores of architectures; the higher, the better when trained alone. Only their order has a meaning.

    `weights`, `mean` and `spread`: of inherited quality and of CAPACITY, in this order.
    """

    weights: Array
    mean: Array
    spread: Array

    @classmethod
    def fit(cls, task: TrainedAlone) -> "QualityRanker":
        """Fit to architectures of one task that were trained alone."""
        x = _features(task.architectures, task.inherited)
        mean, spread = x.mean(axis=0), _spread(x)
        z = (x - mean) / spread
        gram = z.T @ z + STRENGTH * len(z) * np.eye(z.shape[1])
        return cls(np.linalg.solve(gram, z.T @ (task.alone - task.alone.mean())), mean, spread)

    def scores(self, architectures: Sequence[Architecture], inherited: Sequence[float] | Array) -> Array:
        """The scores (N,) of architectures with this inherited quality (N,). Raises UserError."""
        qualities = _qualities("inherited", inherited, len(architectures))
        scores: Array = (_features(architectures, qualities) - self.mean) / self.spread @ self.weights
        return scores

    def adapted(
        self, architectures: Sequence[Architecture], inherited: Sequence[float] | Array
    ) -> "QualityRanker":
        """This ranker for another task, of which no architecture has been trained alone: the weights stay,
        levels and spreads are those of that task's candidates. Raises UserError for fewer than two."""
        qualities = _qualities("inherited", inherited, len(architectures))
        if len(architectures) < 2:
            raise UserError("a ranker is adapted to at least two candidates of a task")
        x = _features(architectures, qualities)
        return replace(self, mean=x.mean(axis=0), spread=_spread(x))


@dataclass(frozen=True)
class RankAgreement:
    """Kendall's τ between quality when trained alone and what is known before training.

    `ranker`: of architectures that the ranker was not fitted to. The others are its baselines.
    """

    ranker: float
    inherited: float
    parameters: float
    decoder_depth: float


def leave_one_out(task: TrainedAlone) -> RankAgreement:
    """The agreement of a ranker with each architecture of a task after fitting it to all others.

    from hat.predictor import TrainedAlone, leave_one_out
    print(leave_one_out(TrainedAlone.load("wmt14ende.json")))
    """
    return agreement(task, left_out_scores(task))


def left_out_scores(task: TrainedAlone) -> list[float]:
    """The score of each architecture by a ranker that was fitted to all others."""
    scores = []
    for index, (architecture, inherited) in enumerate(zip(task.architectures, task.inherited, strict=True)):
        ranker = QualityRanker.fit(task.without(index))
        scores.append(float(ranker.scores([architecture], [inherited])[0]))
    return scores


def transferred(source: TrainedAlone, task: TrainedAlone) -> RankAgreement:
    """The agreement of a ranker that was fitted to another task alone."""
    ranker = QualityRanker.fit(source).adapted(task.architectures, task.inherited)
    return agreement(task, ranker.scores(task.architectures, task.inherited))


def agreement(task: TrainedAlone, scores: Sequence[float] | Array) -> RankAgreement:
    """Kendall's τ of scores (N,) and of the baselines."""
    return RankAgreement(
        kendall_tau(scores, task.alone),
        kendall_tau(task.inherited, task.alone),
        kendall_tau([cost(one).parameters for one in task.architectures], task.alone),
        kendall_tau([decoder_depth(one) for one in task.architectures], task.alone),
    )


def kendall_tau(one: Sequence[float] | Array, other: Sequence[float] | Array) -> float:
    """Kendall's τ-b of two rankings: 1 for the same order, 0 for unrelated ones and for a constant."""
    signs = [np.sign(np.subtract.outer(values, values)) for values in (np.asarray(one), np.asarray(other))]
    untied = [np.count_nonzero(sign) for sign in signs]
    return float((signs[0] * signs[1]).sum() / (untied[0] * untied[1]) ** 0.5) if min(untied) else 0.0


def _features(architectures: Sequence[Architecture], inherited: Array) -> Array:
    rows = [[measure(one) for measure in CAPACITY.values()] for one in architectures]
    return np.column_stack([inherited, np.array(rows, float).reshape(-1, len(CAPACITY))])


def _spread(x: Array) -> Array:
    """Standard deviations; 1 for a feature that does not vary and so says nothing."""
    spread: Array = x.std(axis=0)
    return np.where(spread > 1e-9 * np.maximum(1, np.abs(x).max(axis=0)), spread, 1.0)


def _qualities(name: str, values: Any, count: int) -> Array:
    try:
        qualities = np.array(values, float)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name}: not numbers") from error
    if qualities.shape != (count,):
        raise UserError(f"{name}: {qualities.shape} qualities for {count} architectures")
    if not np.isfinite(qualities).all():
        bad = next(value for value in qualities if not np.isfinite(value))
        raise UserError(f"{name}: {shown(float(bad))} is not a finite number")
    return qualities
