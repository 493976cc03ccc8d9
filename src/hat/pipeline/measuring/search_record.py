"""The result of a search as JSON data, and read again."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from hat.files import read_json
from hat.pipeline.measuring.series import measurement_record
from hat.search import LATENCY, Choice, Trial


def choice_record(choice: Choice) -> dict[str, Any]:
    """The choice of a search, its verification, and all that was measured to choose."""
    chosen = choice.chosen
    return {
        "architecture": chosen.candidate.architecture.to_dict(),
        "loss": chosen.candidate.loss,
        "predicted": dict(chosen.candidate.costs),
        "chosen_by": _trial_record(chosen.trial),
        "verification": _trial_record(choice.verification),
        "measured": [
            {"loss": candidate.loss, "predicted": dict(candidate.costs), **_trial_record(trial)}
            for candidate, trial in chosen.measured
        ],
        "attempts": choice.attempts,
        "evolution": chosen.search.to_dict(),
    }


def read_search(path: Path) -> dict[str, Any]:
    """The result of a search step; one that an older version of HAT wrote, which limited the latency alone,
    in the form of today."""
    result = dict(read_json(path))
    if "predicted_ms" in result:
        result["constraint"]["limits"] = {LATENCY.name: result["constraint"].pop("milliseconds")}
        result["predicted"] = {LATENCY.name: result.pop("predicted_ms")}
        result["verification"] = {"figures": {}, "latency": result["verification"]}
    return result


def _trial_record(trial: Trial) -> dict[str, Any]:
    """A trial as JSON data."""
    return {
        "figures": {name: asdict(figure) for name, figure in trial.figures.items()},
        "latency": trial.measurement and measurement_record(trial.measurement),
    }
