"""Weight sharing that ranks: how well inherited losses order architectures, for each sampling strategy.

Architectures drawn from the space are trained alone, as the recipe's baselines are. Each strategy trains a
SuperTransformer for the same processor time, that of the recipe's updates by the first strategy, and the
architectures inherit its weights. Printed are Kendall's τ and the mean gap between inherited and stand-alone
loss, with bootstrap intervals, beside the baselines "parameter count" and "decoder depth" and the ranker of
hat.predictor. Results go to benchmarks/results/ranking-DATE/{report.md,report.json}. --quality adds how well
the ranker orders the architectures of published tasks: JSON files as hat.predictor.TrainedAlone reads them.

One thread. Finished trainings are lines of WORK/rows.jsonl, and a training that was stopped goes on. As the
demo trains, 24 architectures and 4 strategies with 2 seeds each take about 70 minutes of an idle core;
--processor-minutes ends earlier, before a training, and the same command goes on later; once the first
strategy is finished with the first seed, the results so far are reported.

    python benchmarks/ranking.py [--recipe demo] [--space NAME|FILE] [--set KEY=VALUE ...] [--count 24]
                                 [--seeds 2] [--super-seeds 2] [--strategies NAME ...]
                                 [--processor-minutes M] [--quality FOLDER] [--work runs/ranking]
                                 [--output FOLDER]
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hat import Run
from hat.architecture import Architecture, cost
from hat.cli import Terminal
from hat.files import read_yaml
from hat.hardware import environment
from hat.predictor import TrainedAlone, decoder_depth, leave_one_out, left_out_scores, transferred
from hat.strict_yaml import parse_yaml
from hat.training import SAMPLINGS, SuperTrainingSettings
from ranking_report import agreement, markdown
from ranking_study import OutOfTimeError, Study
from reports import parser, save_report

FEWEST = 5  # architectures


class Plan:
    """The trainings of a study, in the order in which they are done."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.show = options, Terminal()
        self.study = Study(_run(options), options.work, 60 * options.processor_minutes)
        self.architectures = self.study.architectures(options.count)
        recipe = self.study.run.recipe
        self.alone_training = recipe.baseline_training.model_copy(update={"threads": 1})
        self.strategies: dict[str, SuperTrainingSettings] = {
            name: recipe.super_training.model_copy(update={"threads": 1, "sampling": name})
            for name in options.strategies
        }

    def work(self) -> dict[str, Any]:
        """The record of all results; if time ends after the first strategy with the first seed, of those that
        are finished. Raises OutOfTimeError if it ends before."""
        costs = self.study.step_costs(self.strategies)
        equal = {name: _of_equal_time(one, costs[name]) for name, one in self.strategies.items()}
        alone: list[list[float]] = [[] for _ in self.architectures]
        inherited: dict[str, list[list[float]]] = {name: [] for name in equal}
        for seed in range(1, self.options.seeds + 1):
            try:
                self._alone(seed, alone)
                if seed <= self.options.super_seeds:
                    self._inherited(seed, equal, inherited)
            except OutOfTimeError:
                if not next(iter(inherited.values())):
                    raise
                break
        inherited = {name: losses for name, losses in inherited.items() if losses}
        return {
            "alone": alone,
            "inherited": inherited,
            "baselines": baselines(self.architectures, alone, next(iter(inherited.values()))),
            "costs": costs,
            "updates": {name: settings.updates for name, settings in equal.items()},
            "architectures": [one.to_dict() for one in self.architectures],
            "super_updates": next(iter(self.strategies.values())).updates,
            "alone_training": self.alone_training.model_dump(mode="json"),
            "processor_seconds": self.study.processor_seconds(),
        }

    def _alone(self, seed: int, losses: list[list[float]]) -> None:
        for number, (architecture, known) in enumerate(zip(self.architectures, losses, strict=True), start=1):
            with self.show.working(f"alone {number} of {len(losses)}, seed {seed}") as progress:
                known.append(self.study.alone(architecture, seed, self.alone_training, progress))

    def _inherited(
        self,
        seed: int,
        strategies: Mapping[str, SuperTrainingSettings],
        losses: Mapping[str, list[list[float]]],
    ) -> None:
        for name, settings in strategies.items():
            with self.show.working(f"{name}, seed {seed}") as progress:
                losses[name].append(self.study.inherited(self.architectures, seed, settings, progress))


def _run(options: argparse.Namespace) -> Run:
    """The run of the recipe, of which only the text is prepared."""
    settings = {}
    for setting in options.set:
        key, _, value = setting.partition("=")
        settings[key] = parse_yaml(value, f"--set {key}")
    if options.space:
        path = Path(options.space)
        settings["space"] = read_yaml(path) if path.is_file() else options.space
    return Run(options.recipe, options.work / "text", settings=settings)


def _of_equal_time(settings: SuperTrainingSettings, step: float) -> SuperTrainingSettings:
    """The settings with as many updates of this relative cost as take the time of the recipe's; warm-up and
    validations keep their shares of them."""
    names = ("updates", "warmup", "validate_every")
    return settings.model_copy(update={name: max(1, round(getattr(settings, name) / step)) for name in names})


def baselines(
    architectures: Sequence[Architecture], alone: Sequence[Any], inherited: Sequence[Any]
) -> dict[str, list[float]]:
    """Values that should rise as losses fall: known before any training, and the ranker's scores of each
    architecture after fitting it to all others. `alone`: losses of each architecture; `inherited`: losses
    (seeds, architectures)."""
    means = np.array([np.mean(losses) for losses in alone])
    task = TrainedAlone(architectures, -np.mean(inherited, axis=0), -means)
    return {
        "parameter count": [float(cost(one).parameters) for one in architectures],
        "decoder depth": [float(decoder_depth(one)) for one in architectures],
        "ranker of hat.predictor, leave-one-out": left_out_scores(task),
    }


def published(folder: Path) -> dict[str, Any]:
    """τ of the ranker and its baselines on each task in `folder`, and of rankers fitted to the others."""
    tasks = {path.stem: TrainedAlone.load(path) for path in sorted(folder.glob("*.json"))}
    return {
        name: {
            **asdict(leave_one_out(task)),
            "architectures": len(task.architectures),
            "transferred": {
                source: transferred(tasks[source], task).ranker for source in tasks if source != name
            },
        }
        for name, task in tasks.items()
    }


def main() -> None:
    line = parser(__doc__, "ranking")
    line.add_argument("--recipe", default="demo")
    line.add_argument("--space", help="a shipped design space or a YAML file; by default the recipe's")
    line.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="as for `hat run`")
    line.add_argument("--count", type=int, default=24, help="architectures trained alone")
    line.add_argument("--seeds", type=int, default=2, help="of each architecture")
    line.add_argument("--super-seeds", type=int, default=2, help="of each SuperTransformer, at most --seeds")
    line.add_argument("--strategies", nargs="+", choices=[*SAMPLINGS], default=[*SAMPLINGS])
    line.add_argument("--processor-minutes", type=float, default=float("inf"))
    line.add_argument("--quality", type=Path, help="a folder of published qualities")
    line.add_argument("--work", type=Path, default=Path("runs") / "ranking")
    options = line.parse_args()
    if options.count < FEWEST:
        line.error(f"--count: at least {FEWEST}, so that the ranker can be fitted to all but one")
    torch.set_num_threads(1)
    try:
        record = Plan(options).work()
    except OutOfTimeError:
        print(f"{options.processor_minutes:g} minutes of processor time are used up; more go on from here")
        return
    report = {
        "date": str(date.today()),
        "environment": environment(),
        "recipe": options.recipe,
        "space_name": f"space {options.space}" if options.space else "its space",
        "settings": options.set,
        **record,
        "agreement": agreement(record),
    }
    if options.quality:
        report["published"] = published(options.quality)
    save_report(options.output, report, markdown(report))


if __name__ == "__main__":
    main()
