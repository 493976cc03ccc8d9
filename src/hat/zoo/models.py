"""Every model of the zoo in one form: its architecture, and figures with their sources."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from hat.architecture import AnyArchitecture, architecture_from_dict, cost
from hat.errors import UserError, shown
from hat.files import read_json

# "secondary": published, and read elsewhere than in the publication. "computed": here, by the
# published counting rules.
Source = Literal["published", "secondary", "measured", "computed"]
SOURCES: dict[Source, str] = {
    "published": "published",
    "secondary": "published, from a secondary source",
    "measured": "measured here",
    "computed": "computed here by the published rules",
}
Kind = Literal["published", "baseline", "measured"]

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class SourcedFigure:
    """A number and its source."""

    value: float
    source: Source


@dataclass(frozen=True)
class Result:
    """The figures of a model on one task and device; None for those of the model alone.

    `figures`: parameters (without embeddings), flops (of `length` tokens on both sides), latency_ms,
    bleu (tokenised), sacrebleu, chrf, artefact_bytes, peak_memory_bytes: those that are known.
    """

    task: str | None
    device: str | None
    figures: Mapping[str, SourcedFigure]
    length: int = 30


@dataclass(frozen=True)
class ZooModel:
    """A model of the zoo. `about`: a description, with the conditions under which its figures hold."""

    name: str
    kind: Kind
    about: str
    architecture: AnyArchitecture
    results: tuple[Result, ...]


def models(task: str | None = None, device: str | None = None) -> list[ZooModel]:
    """The models with results for `task` and `device`, with only these results; all models by default.

    Raises UserError listing the known tasks or devices for an unknown one.
    """
    everything = [*_published(), *_baselines(), *_measured()]
    for option, wanted in (("task", task), ("device", device)):
        known = {getattr(result, option) for model in everything for result in model.results} - {None}
        if wanted is not None and wanted not in known:
            raise UserError(f"--{option} {wanted}: the choices are {', '.join(sorted(known))}")
    chosen = []
    for model in everything:
        kept = tuple(r for r in model.results if task in (None, r.task) and device in (None, r.device))
        if kept:
            chosen.append(replace(model, results=kept))
    return chosen


def model(name: str) -> ZooModel:
    """The model called `name`. Raises UserError."""
    for candidate in models():
        if candidate.name == name:
            return candidate
    raise UserError(f"there is no model {shown(name)} in the zoo; `hat zoo list` shows them")


def published_models() -> list[dict[str, Any]]:
    """The 44 published models: `architecture` (in the schema of `Architecture.from_dict`), exact
    `params`, exact `flops` at `sentence_length` tokens, and the published task, device,
    latency_ms and bleu."""
    entries: list[dict[str, Any]] = read_json(_HERE / "published_models.json")
    return entries


def _published() -> list[ZooModel]:
    about = "HAT's SubTransformer as published (ACL 2020); BLEU tokenised, latency of one sentence"
    names = {"parameters": "params"} | {key: key for key in ("flops", "latency_ms", "bleu", "sacrebleu")}
    listed = []
    for entry in published_models():
        figures = {name: SourcedFigure(entry[key], "published") for name, key in names.items()}
        result = Result(entry["task"], entry["device"], figures, entry["sentence_length"])
        listed.append(_model({**entry, "about": about}, "published", (result,)))
    return listed


def _baselines() -> list[ZooModel]:
    return [
        _model(entry, "baseline", tuple(_result(entry, row, "secondary") for row in entry["results"]))
        for entry in read_json(_HERE / "baselines.json")
    ]


def _measured() -> list[ZooModel]:
    entries = read_json(_HERE / "measured.json")
    return [_model(entry, "measured", (_result(entry, entry, "measured"),)) for entry in entries]


def _model(entry: Mapping[str, Any], kind: Kind, results: tuple[Result, ...]) -> ZooModel:
    return ZooModel(entry["name"], kind, entry["about"], _architecture(entry), results)


def _result(entry: Mapping[str, Any], row: Mapping[str, Any], source: Source) -> Result:
    """The figures in `row`, beside those computed from the entry's architecture."""
    counts = cost(_architecture(entry))
    figures = {
        "parameters": SourcedFigure(counts.parameters, "computed"),
        "flops": SourcedFigure(counts.flops, "computed"),
    }
    figures |= {key: SourcedFigure(value, source) for key, value in row["figures"].items()}
    return Result(row["task"], row["device"], figures)


def _architecture(entry: Mapping[str, Any]) -> AnyArchitecture:
    return architecture_from_dict(entry["architecture"], entry["name"])
