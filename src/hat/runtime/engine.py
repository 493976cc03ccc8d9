"""What every engine promises: token ids in, hypotheses out."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from hat.architecture import TRANSFORMER, AnyArchitecture, family_of
from hat.arguments import finite_number, whole_number
from hat.errors import UserError, shown
from hat.threads import MOST_THREADS, available_threads

if TYPE_CHECKING:
    from hat.runtime.artefact import Artefact, ArtefactConfig

# Name → module and class, in the order in which "auto" prefers them. Modules are imported by name
# so that the plain install never loads torch.
ENGINES = {
    "native": ("hat.runtime.native", "NativeEngine"),
    "onnxruntime": ("hat.runtime.onnx.engine", "OnnxEngine"),
    "torch": ("hat.model.engine", "TorchEngine"),
}
# How each comes onto a machine.
INSTALL = {
    "native": "install HAT where there is a C++ compiler; `hat doctor` says more",
    "onnxruntime": 'pip install "hardware-aware-transformers[onnx]"',
    "torch": 'pip install "hardware-aware-transformers[train]"',
}
DEVICES = ("cpu", "cuda")
# Of DecodeOptions, the least and the most: beyond them, memory, time and powers have no bound.
LIMITS = {
    "beam": (1, 1 << 12),
    "length_penalty": (-10, 10),
    "nbest": (1, 1 << 12),
    "min_length": (1, 1 << 16),
    "max_length_factor": (0, 1 << 16),
    "max_length_offset": (-1 << 16, 1 << 16),
}
# A warning reaches standard error in one line, where the program has not said otherwise.
log = logging.getLogger("hat")

Used = TypeVar("Used")


@dataclass(frozen=True)
class DecodeOptions:
    """How to search. Lengths are target tokens including the final </s>. Raises UserError.

    `length_penalty`: a hypothesis scores log-probability / length**length_penalty (docs/reference.md,
    Beam search). The longest hypothesis has max_length_factor × source tokens + max_length_offset tokens.
    """

    beam: int = 5
    length_penalty: float = 1.0
    nbest: int = 1
    min_length: int = 2
    max_length_factor: float = 0.0
    max_length_offset: int = 201

    def __post_init__(self) -> None:
        for field in fields(self):
            convert = whole_number if field.type is int else finite_number
            object.__setattr__(self, field.name, convert(field.name, getattr(self, field.name)))
        for name, (least, most) in LIMITS.items():
            if getattr(self, name) < least:
                raise UserError(f"{name}: {shown(getattr(self, name))} is less than {least}")
            if getattr(self, name) > most:
                raise UserError(f"{name}: {shown(getattr(self, name))} is more than {most}")
        if self.nbest > self.beam:
            raise UserError(f"nbest: {self.nbest} is more than the beam of {self.beam}")
        if self.max_length(1) < self.min_length:
            raise UserError(
                f"max_length_offset: {self.max_length_offset} leaves no room for min_length {self.min_length}"
            )

    def max_length(self, source_length: int) -> int:
        """The most target tokens for a source of `source_length` tokens, </s> counted in both."""
        return int(self.max_length_factor * source_length) + self.max_length_offset


@dataclass(frozen=True)
class Hypothesis:
    """One translation: target ids including the final </s>, its length-normalised log-probability
    and the log-probability of each token."""

    tokens: tuple[int, ...]
    score: float
    token_scores: tuple[float, ...]


@dataclass(frozen=True)
class EngineSettings:
    """How an engine runs. `threads`: processor threads of one call. `device`: one of DEVICES, "cuda"
    only with the torch engine. `instruction_set`: which of the native engine's kernels ("auto": the
    best this processor has). Raises UserError.
    """

    threads: int = 1
    device: str = "cpu"
    instruction_set: str = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "threads", whole_number("threads", self.threads))
        if self.threads < 1:
            raise UserError(f"threads: {self.threads} is less than 1")
        if self.threads > MOST_THREADS:
            raise UserError(
                f"threads: {self.threads} is more than {MOST_THREADS}; this process may use "
                f"{available_threads()} processors"
            )
        if self.device not in DEVICES:
            raise UserError(f"device: {shown(self.device)}; the choices are {', '.join(DEVICES)}")
        if not isinstance(self.instruction_set, str):
            raise UserError(f"instruction_set: {shown(self.instruction_set)} is not a name")


class Engine(Protocol):
    """Runs one model; safe to call from several threads. `name` is one of ENGINES."""

    name: str

    def translate(self, sources: Sequence[Sequence[int]], options: DecodeOptions) -> list[list[Hypothesis]]:
        """For each source (ids including the final </s>) its `options.nbest` best, best first."""

    def score(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[tuple[float, ...]]:
        """For each pair (ids including the final </s> on both sides) the log-probability of every
        target token, </s> included."""

    def close(self) -> None:
        """Give back what the engine holds; it is not used afterwards."""


def load_engine(name: str, artefact: "Artefact", settings: EngineSettings) -> Engine:
    """The engine called `name` over `artefact`. "auto" is the first that is installed; where that is
    not the native one, a warning says so.

    Raises UserError where there is no such engine, its library is not installed, or it cannot have
    these settings or run this family of networks.
    """

    def start(module: Any, candidate: str) -> Engine:
        factory: Callable[[Artefact, EngineSettings], Engine] = getattr(module, ENGINES[candidate][1])
        return factory(artefact, settings)

    among = _engines_for(name, artefact.config.model.architecture)
    candidate, engine, absent = _first_installed(name, settings, start, among)
    if absent:
        log.warning("hat: warning: decoding with %s, which is slower: %s", candidate, absent[0])
    return engine


def installed_engine(name: str, architecture: AnyArchitecture | None = None) -> str:
    """The engine that `name` stands for on this machine: itself, or the first installed for "auto" (of
    those that run `architecture`).

    Raises UserError where there is no such engine, none is installed, or it cannot run that.
    """
    among = tuple(ENGINES) if architecture is None else _engines_for(name, architecture)
    return _first_installed(name, EngineSettings(), lambda module, candidate: candidate, among)[0]


def runs(engine: str, architecture: AnyArchitecture) -> bool:
    """True if an engine runs that family of networks: the native one has kernels for Transformers only, and
    onnxruntime needs the family's ONNX graphs."""
    family = family_of(architecture)
    runnable = {"native": family is TRANSFORMER, "onnxruntime": "onnx" in family.exporters, "torch": True}
    return runnable[engine]


def load_onnx_export(name: str, folder: Path, settings: EngineSettings) -> tuple["ArtefactConfig", Engine]:
    """The configuration of an ONNX export and the engine over it. `name`: "auto" or "onnxruntime".

    Raises UserError for another engine, settings it cannot have, a damaged export, or where
    onnxruntime is not installed.
    """
    if name not in ("auto", "onnxruntime"):
        raise UserError(f"{folder}: an ONNX export; it runs with engine onnxruntime, not {name}")
    _candidates("onnxruntime", settings, tuple(ENGINES))
    try:
        loader = import_module(ENGINES["onnxruntime"][0])
        found: tuple[ArtefactConfig, Engine] = loader.load_folder(folder, settings)
    except ImportError as error:
        raise UserError(f"{folder}: {_absence('onnxruntime', error)}") from error
    return found


def check_engine(name: str) -> None:
    """Raises UserError where `name` is neither "auto" nor one of ENGINES."""
    if name not in ("auto", *ENGINES):
        raise UserError(f"no engine is called {shown(name)}; the engines are auto, {', '.join(ENGINES)}")


def _engines_for(name: str, architecture: AnyArchitecture) -> tuple[str, ...]:
    """The engines that run `architecture`. Raises UserError where `name` is another one."""
    check_engine(name)
    found = tuple(engine for engine in ENGINES if runs(engine, architecture))
    if name not in ("auto", *found):
        family = family_of(architecture).title
        raise UserError(f"engine {name} does not run {family}; the choices are {', '.join(found)}")
    return found


def _first_installed(
    name: str, settings: EngineSettings, use: Callable[[Any, str], Used], among: tuple[str, ...]
) -> tuple[str, Used, list[str]]:
    """The first engine whose module `use` can take: its name, what `use` made of the module, and why
    those before it are absent. Raises UserError where there is none."""
    absent: list[str] = []
    for candidate in _candidates(name, settings, among):
        try:
            return candidate, use(import_module(ENGINES[candidate][0]), candidate), absent
        except ImportError as error:  # a library that does not load is as good as none
            absent.append(_absence(candidate, error))
    raise UserError("no engine to run the model with: " + "; ".join(absent))


def _candidates(name: str, settings: EngineSettings, among: tuple[str, ...]) -> tuple[str, ...]:
    """The engines to try, in turn. Raises UserError where none can have these settings."""
    check_engine(name)
    found = among if name == "auto" else (name,)
    for setting, usual, owner in (("device", "cpu", "torch"), ("instruction_set", "auto", "native")):
        value = getattr(settings, setting)
        if value == usual:
            continue
        if owner not in found:
            raise UserError(
                f"{setting}: {shown(value)} is for the {owner} engine only, not {', '.join(found)}"
            )
        found = (owner,)
    return found


def _absence(engine: str, error: ImportError) -> str:
    return f"the {engine} engine is not installed ({reason_of(error)}): {INSTALL[engine]}"


def reason_of(error: Exception) -> str:
    """Why a module does not load, without the path that Python adds."""
    return str(error).split(" (")[0]
