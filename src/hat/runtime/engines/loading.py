"""The choice of an engine, and its loading."""

import logging
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from hat.architecture import AnyArchitecture, family_of
from hat.engine_specs import ENGINES
from hat.errors import UserError, shown
from hat.runtime.artefact import Artefact, ArtefactConfig
from hat.runtime.engines.engine import Engine, EngineSettings

# The only engine that runs exported ONNX graphs.
ONNX = "onnxruntime"
# A warning reaches standard error in one line, where the program has not said otherwise.
log = logging.getLogger("hat")

Loaded = TypeVar("Loaded")


def load_engine(name: str, artefact: Artefact, settings: EngineSettings) -> Engine:
    """The engine called `name` over `artefact`; "auto": the first that is installed, with a warning where
    that is not the first that could run the model.

    Raises UserError where there is no such engine, its library is not installed, or it cannot have
    these settings or run this family of networks.
    """

    def start(module: Any, candidate: str) -> Engine:
        factory: Callable[[Artefact, EngineSettings], Engine] = getattr(module, ENGINES[candidate].factory)
        return factory(artefact, settings)

    candidates = settings.engines(_candidates(name, artefact.config.model.architecture))
    engine, absent = _first_installed(candidates, start)
    if absent:
        log.warning("hat: warning: decoding with %s, which is slower: %s", engine.name, absent[0])
    return engine


def installed_engine(name: str, architecture: AnyArchitecture | None = None) -> str:
    """The engine that `name` stands for on this machine: itself, or the first installed for "auto" (of
    those that run `architecture`).

    Raises UserError where there is no such engine, it is not installed, or it cannot run that.
    """
    return _first_installed(_candidates(name, architecture), lambda _, candidate: candidate)[0]


def runs(engine: str, architecture: AnyArchitecture) -> bool:
    """True if an engine runs networks of the architecture's family."""
    family, spec = family_of(architecture), ENGINES[engine]
    listed = spec.families is None or family.name in spec.families
    return listed and (spec.exporter is None or spec.exporter in family.exporters)


def load_onnx_export(name: str, folder: Path, settings: EngineSettings) -> tuple[ArtefactConfig, Engine]:
    """The configuration of an ONNX export and the engine over it. `name`: "auto" or "onnxruntime".

    Raises UserError for another engine, settings it cannot have, a damaged export, or where
    onnxruntime is not installed.
    """
    if name not in ("auto", ONNX):
        raise UserError(f"{folder}: an ONNX export; it runs with engine {ONNX}, not {name}")
    settings.engines([ONNX])
    try:
        module = import_module(ENGINES[ONNX].module)
        loaded: tuple[ArtefactConfig, Engine] = module.load_folder(folder, settings)
    except ImportError as error:
        raise UserError(f"{folder}: {_absence(ONNX, error)}") from error
    return loaded


def check_engine(name: str) -> None:
    """Raises UserError where `name` is neither "auto" nor one of ENGINES."""
    if name not in ("auto", *ENGINES):
        raise UserError(f"no engine is called {shown(name)}; the engines are auto, {', '.join(ENGINES)}")


def reason_of(error: Exception) -> str:
    """The reason why a module does not load, without the path that Python adds."""
    return str(error).split(" (")[0]


def _candidates(name: str, architecture: AnyArchitecture | None) -> tuple[str, ...]:
    """The engines that `name` may stand for, if they run `architecture`. Raises UserError without any."""
    check_engine(name)
    able = tuple(engine for engine in ENGINES if architecture is None or runs(engine, architecture))
    if name == "auto":
        return able
    if name not in able:
        assert architecture is not None
        family = family_of(architecture).title
        raise UserError(f"engine {name} does not run {family}; the choices are {', '.join(able)}")
    return (name,)


def _first_installed(
    candidates: tuple[str, ...], load: Callable[[Any, str], Loaded]
) -> tuple[Loaded, list[str]]:
    """The result of `load`, given module and name of the first candidate that is installed, and the reasons
    why those before it are absent. Raises UserError where there is none."""
    absent: list[str] = []
    for candidate in candidates:
        try:
            return load(import_module(ENGINES[candidate].module), candidate), absent
        except ImportError as error:  # a library that does not load is as good as none
            absent.append(_absence(candidate, error))
    raise UserError("no engine to run the model with: " + "; ".join(absent))


def _absence(engine: str, error: ImportError) -> str:
    return f"the {engine} engine is not installed ({reason_of(error)}): {ENGINES[engine].install}"
