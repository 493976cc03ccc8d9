"""Every model of the zoo in one form: its architecture, and figures with their sources."""

from collections.abc import Mapping
from dataclasses import dataclass
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
class Figure:
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
    figures: Mapping[str, Figure]
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
    for what, wanted in (("task", task), ("device", device)):
        known = {getattr(result, what) for model in everything for result in model.results} - {None}
        if wanted is not None and wanted not in known:
            raise UserError(f"--{what} {wanted}: the choices are {', '.join(sorted(known))}")
    found = []
    for model in everything:
        kept = tuple(r for r in model.results if task in (None, r.task) and device in (None, r.device))
        if kept:
            found.append(
                ZooModel(
                    model.name,
                    kind=model.kind,
                    about=model.about,
                    architecture=model.architecture,
                    results=kept,
                )
            )
    return found


def model(name: str) -> ZooModel:
    """The model called `name`. Raises UserError."""
    for one in models():
        if one.name == name:
            return one
    raise UserError(f"there is no model {shown(name)} in the zoo; `hat zoo list` shows them")


def published_models() -> list[dict[str, Any]]:
    """The 44 published models: `architecture` (in the schema of `Architecture.from_dict`), exact
    `params`, exact `flops` at `sentence_length` tokens, and the published task, device,
    latency_ms and bleu."""
    found: list[dict[str, Any]] = read_json(_HERE / "published_models.json")
    return found


def _published() -> list[ZooModel]:
    about = "HAT's SubTransformer as published (ACL 2020); BLEU tokenised, latency of one sentence"
    found = []
    for entry in published_models():
        figures = {
            name: Figure(entry[key], "published")
            for name, key in (
                ("parameters", "params"),
                ("flops", "flops"),
                *((key, key) for key in ("latency_ms", "bleu", "sacrebleu")),
            )
        }
        result = Result(entry["task"], entry["device"], figures, entry["sentence_length"])
        architecture = architecture_from_dict(entry["architecture"], entry["name"])
        found.append(
            ZooModel(
                entry["name"], kind="published", about=about, architecture=architecture, results=(result,)
            )
        )
    return found


def _baselines() -> list[ZooModel]:
    found = []
    for entry in read_json(_HERE / "baselines.json"):
        architecture = architecture_from_dict(entry["architecture"], entry["name"])
        results = tuple(
            Result(
                row["task"],
                row["device"],
                {
                    **_counted(architecture),
                    **{key: Figure(value, "secondary") for key, value in row["figures"].items()},
                },
            )
            for row in entry["results"]
        )
        found.append(
            ZooModel(
                entry["name"],
                kind="baseline",
                about=entry["about"],
                architecture=architecture,
                results=results,
            )
        )
    return found


def _measured() -> list[ZooModel]:
    found = []
    for entry in read_json(_HERE / "measured.json"):
        architecture = architecture_from_dict(entry["architecture"], entry["name"])
        figures = {key: Figure(value, "measured") for key, value in entry["figures"].items()}
        result = Result(entry["task"], entry["device"], {**_counted(architecture), **figures})
        found.append(
            ZooModel(
                entry["name"],
                kind="measured",
                about=entry["about"],
                architecture=architecture,
                results=(result,),
            )
        )
    return found


def _counted(architecture: AnyArchitecture) -> dict[str, Figure]:
    counted = cost(architecture)
    return {
        "parameters": Figure(counted.parameters, "computed"),
        "flops": Figure(counted.flops, "computed"),
    }
