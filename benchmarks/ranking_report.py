"""The tables of `ranking.py`: how well inherited losses rank architectures, with bootstrap intervals."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hat.evaluation import share_left_out
from hat.predictor import kendall_tau
from reports import table

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
RESAMPLES = 2000


def interval(statistic: Callable[[Indices], float], count: int, seed: int = 0) -> tuple[float, float]:
    """The 95% interval of a statistic of `count` architectures, given the indices of a resample: percentiles
    of a bootstrap over architectures. It says what other architectures of the space would have given, not
    another training of the SuperTransformer."""
    rng = np.random.default_rng(seed)
    values = [statistic(rng.integers(0, count, count)) for _ in range(RESAMPLES)]
    left_out = share_left_out(count)
    low, high = np.quantile(values, [left_out, 1 - left_out])
    return float(low), float(high)


def estimate(statistic: Callable[[Indices], float], count: int) -> dict[str, Any]:
    """The statistic on all architectures, with its interval."""
    low, high = interval(statistic, count)
    everything = np.arange(count)
    return {"value": round(statistic(everything), 4), "interval": [round(low, 4), round(high, 4)]}


def tau_of(predictions: Sequence[Sequence[float]], alone: Array) -> Callable[[Indices], float]:
    """Kendall's τ between losses alone and each row of predictions, the mean over rows."""
    rows = [np.asarray(row, float) for row in predictions]

    def statistic(indices: Indices) -> float:
        return float(np.mean([kendall_tau(row[indices], alone[indices]) for row in rows]))

    return statistic


def agreement(record: Mapping[str, Any]) -> dict[str, Any]:
    """τ and mean gap of every strategy, its τ beyond the first strategy's, and τ of the baselines.

    `record`: "alone", of each architecture its losses, one for each seed; "inherited", of each strategy
    losses (seeds, architectures); "baselines", of each a value for every architecture that rises as losses
    fall.
    """
    alone = np.array([np.mean(losses) for losses in record["alone"]])
    count = len(alone)
    strategies = {}
    first: Callable[[Indices], float] | None = None
    for name, inherited in record["inherited"].items():
        gaps = np.mean(inherited, axis=0) - alone
        tau = tau_of(inherited, alone)
        first = first or tau
        strategies[name] = {
            "tau": estimate(tau, count),
            "gap": estimate(lambda indices, gaps=gaps: float(gaps[indices].mean()), count),
            "beyond_first": estimate(
                lambda indices, tau=tau, first=first: tau(indices) - first(indices), count
            ),
        }
    baselines = {
        name: {"tau": estimate(tau_of([-np.asarray(values, float)], alone), count)}
        for name, values in record["baselines"].items()
    }
    pairs = several(record["alone"])
    if len(pairs) > 2:
        baselines["another seed, trained alone"] = {
            "tau": estimate(tau_of([pairs[:, 1]], pairs[:, 0]), len(pairs))
        }
    return {"strategies": strategies, "baselines": baselines}


def several(alone: Sequence[Sequence[float]]) -> Array:
    """The losses with the first two seeds, of the architectures that were trained with so many: (N, 2)."""
    return np.array([losses[:2] for losses in alone if len(losses) > 1], float).reshape(-1, 2)


def markdown(report: Mapping[str, Any]) -> str:
    """The report as people read it."""
    machine, alone = report["environment"], report["alone_training"]
    pairs = several(report["alone"])
    noise = f"{np.sqrt(pairs.var(axis=1, ddof=1).mean()):.3f}" if len(pairs) else "unknown"
    means = np.array([np.mean(losses) for losses in report["alone"]])
    super_seeds = " and ".join(sorted({str(len(rows)) for rows in report["inherited"].values()}))
    lines = [
        f"# Ranking by inherited losses, {report['date']}",
        "",
        f"{machine['cpu']}, one thread of {machine['cores_allowed']}; PyTorch {machine['torch']}. Recipe "
        f"{report['recipe']}, {report['space_name']}; {len(means)} architectures trained alone, "
        f"{len(pairs)} of them with two seeds, {alone['updates']} updates of {alone['batch_tokens']} tokens: "
        f"mean loss {means.mean():.3f} nats, standard deviation between architectures "
        f"{means.std(ddof=1):.3f}, between seeds {noise}. SuperTransformers: {super_seeds} seed(s), each for "
        f"the processor time of {report['super_updates']} updates of the first strategy. "
        f"{report['processor_seconds'] / 60:.0f} minutes of processor time in all.",
        "",
        f"Settings changed: {', '.join(report['settings']) or 'none'}.",
        "",
        "τ: Kendall's, between inherited and stand-alone loss. Gap: mean of inherited minus stand-alone "
        "loss, in nats. Brackets: 95% bootstrap intervals over architectures. Cost: processor time of an "
        "update, relative to the first strategy's.",
        "",
    ]
    rows = [
        [name, f"{report['costs'][name]:.2f}", f"{report['updates'][name]}"]
        + [_shown(found[key]) for key in ("tau", "gap", "beyond_first")]
        for name, found in report["agreement"]["strategies"].items()
    ]
    head = ["strategy", "cost", "updates", "τ", "gap", "τ beyond the first strategy's"]
    lines += [table(head, rows), ""]
    others = [[name, _shown(found["tau"])] for name, found in report["agreement"]["baselines"].items()]
    lines += [table(["predictor of the stand-alone loss", "τ"], others), ""]
    if "published" in report:
        lines += [
            "On published tasks, τ with BLEU after training alone:",
            "",
            published_table(report["published"]),
            "",
        ]
    return "\n".join(lines)


def published_table(tasks: Mapping[str, Any]) -> str:
    """The ranker and its baselines on published tasks."""
    columns = ("inherited", "parameters", "decoder_depth", "ranker")
    rows = []
    for name, found in tasks.items():
        elsewhere = ", ".join(f"{tau:.3f} ({source})" for source, tau in found["transferred"].items())
        here = (f"{found[column]:.3f}" for column in columns)
        rows.append([name, str(found["architectures"]), *here, elsewhere])
    head = ["task", "architectures", "inherited BLEU", "parameter count", "decoder depth"]
    return table([*head, "ranker, leave-one-out", "ranker fitted to another task"], rows)


def _shown(found: Mapping[str, Any]) -> str:
    low, high = found["interval"]
    return f"{found['value']:.3f} [{low:.3f}, {high:.3f}]"
