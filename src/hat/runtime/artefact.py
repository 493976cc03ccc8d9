"""The artefact: a folder with all that a device needs to translate, checked when it is read.

config.json (what the model is), model.safetensors (weights under the names and shapes of
`hat.architecture.weight_shapes`) and tokenizer/ (absent from models made only for timing).
"""

import json
import os
import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hat.architecture import EMBEDDING_NAMES, Architecture, ModelConfig, weight_shapes
from hat.errors import HatError, UserError
from hat.files import check_keys, read_json, write_json
from hat.runtime.engine import DecodeOptions
from hat.runtime.tokenizer import TokenizerConfig

FORMAT = 1
CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer"
# Precision → the element type in safetensors and in numpy.
DTYPES = {"float32": ("F32", np.dtype("<f4"))}
MODEL_KEYS = (
    "source_vocab",
    "target_vocab",
    "embeddings",
    "encoder_super_dim",
    "decoder_super_dim",
)
DECODE_KEYS = ("beam", "length_penalty", "max_length_factor", "max_length_offset")
CONFIG_KEYS = (
    "format",
    "architecture",
    "source_language",
    "target_language",
    *MODEL_KEYS,
    "precision",
    "decode",
    "tokenizer",
    "provenance",
)

Weights = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ArtefactConfig:
    """What config.json says.

    `decode`: the model's own defaults (nbest and min_length are the user's and not written).
    `tokenizer`: None for a model made only for timing. `provenance`: free JSON data (recipe, data
    digest, metrics).
    """

    model: ModelConfig
    source_language: str = "und"
    target_language: str = "und"
    precision: str = "float32"
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    tokenizer: TokenizerConfig | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, value: object, where: str) -> "ArtefactConfig":
        """Read strictly. Raises UserError naming `where` and the key."""
        keys = check_keys(value, CONFIG_KEYS, where)
        if keys["format"] != FORMAT:
            raise UserError(f"{where}: format {keys['format']!r}; this version of hat reads format {FORMAT}")
        for name in ("source_language", "target_language"):
            if not isinstance(keys[name], str) or not keys[name]:
                raise UserError(f"{where}: {name}: {keys[name]!r} is not a language's code")
        if keys["precision"] not in list(DTYPES):
            raise UserError(f"{where}: precision: {keys['precision']!r}; the choices are {', '.join(DTYPES)}")
        if not isinstance(keys["provenance"], dict):
            raise UserError(f"{where}: provenance: expected a mapping")
        tokenizer = keys["tokenizer"]
        return cls(
            _model_config(keys, where),
            keys["source_language"],
            keys["target_language"],
            keys["precision"],
            _decode_options(keys["decode"], where),
            None if tokenizer is None else TokenizerConfig.from_dict(tokenizer, f"{where}: tokenizer"),
            keys["provenance"],
        )

    def to_dict(self) -> dict[str, Any]:
        """The content of config.json."""
        tokenizer = self.tokenizer
        return {
            "format": FORMAT,
            "architecture": self.model.architecture.to_dict(),
            "source_language": self.source_language,
            "target_language": self.target_language,
            **{name: getattr(self.model, name) for name in MODEL_KEYS},
            "precision": self.precision,
            "decode": {name: getattr(self.decode, name) for name in DECODE_KEYS},
            "tokenizer": tokenizer and {"kind": tokenizer.kind, "joint": tokenizer.joint},
            "provenance": dict(self.provenance),
        }


@dataclass(frozen=True)
class Artefact:
    """One model ready to run. `tokenizer_folder` holds the files that `config.tokenizer` names."""

    config: ArtefactConfig
    weights: Weights
    tokenizer_folder: Path | None = None

    @classmethod
    def load(cls, folder: Path) -> "Artefact":
        """Read and check an artefact folder.

        Raises UserError naming the file, the tensor and what was expected there.
        """
        if not is_artefact(folder):
            raise UserError(f"{folder}: not an artefact folder (no {CONFIG} and {WEIGHTS} in it)")
        config = ArtefactConfig.from_dict(read_json(folder / CONFIG), str(folder / CONFIG))
        weights = _read_weights(folder / WEIGHTS, config)
        if config.tokenizer is None:
            return cls(config, weights)
        for name in config.tokenizer.file_names():
            if not (folder / TOKENIZER / name).is_file():
                raise UserError(f"{folder / TOKENIZER / name}: the tokenizer's file is missing")
        return cls(config, weights, folder / TOKENIZER)

    @classmethod
    def random(cls, model: ModelConfig, seed: int) -> "Artefact":
        """A model with random weights and no tokenizer: what it costs to run, not what it says."""
        rng = np.random.default_rng(seed)
        shapes = weight_shapes(model)
        weights = {name: _random_weight(name, shape, rng) for name, shape in shapes.items()}
        return cls(ArtefactConfig(model), weights)

    def save(self, folder: Path) -> None:
        """Write the folder, whole or not at all; an artefact already there is replaced.

        Raises UserError where `folder` holds something else or the weights do not fit the
        configuration, HatError where writing fails.
        """
        _check_replaceable(folder)
        found = {name: (str(array.dtype), array.shape) for name, array in self.weights.items()}
        _check_weights(found, self.config, str(DTYPES[self.config.precision][1]), "weights")
        temporary = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            self._write(temporary)
            _replace_folder(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _write(self, folder: Path) -> None:
        contiguous = {name: np.ascontiguousarray(array) for name, array in self.weights.items()}
        try:
            save_file(contiguous, folder / WEIGHTS)
        except SafetensorError as error:
            raise HatError(f"{folder / WEIGHTS}: {error}") from error
        if self.config.tokenizer is not None:
            if self.tokenizer_folder is None:
                raise UserError("the configuration names a tokenizer, but none is given")
            (folder / TOKENIZER).mkdir()
            for name in self.config.tokenizer.file_names():
                shutil.copyfile(self.tokenizer_folder / name, folder / TOKENIZER / name)
        write_json(folder / CONFIG, self.config.to_dict())


def is_artefact(folder: Path) -> bool:
    """Whether `folder` looks like an artefact (its content is not checked)."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def _model_config(keys: Mapping[str, Any], where: str) -> ModelConfig:
    for name, least in (("source_vocab", 4), ("target_vocab", 4)):
        _check_count(keys[name], least, f"{where}: {name}")
    for name in ("encoder_super_dim", "decoder_super_dim"):
        _check_count(keys[name], 1, f"{where}: {name}")
    architecture = Architecture.from_dict(keys["architecture"], f"{where}: architecture")
    try:
        return ModelConfig(architecture, **{name: keys[name] for name in MODEL_KEYS})
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _decode_options(value: object, where: str) -> DecodeOptions:
    keys = check_keys(value, DECODE_KEYS, f"{where}: decode")
    try:
        return DecodeOptions(**keys)
    except UserError as error:
        raise UserError(f"{where}: decode.{error}") from error


def _check_count(value: object, least: int, where: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{where}: {value!r} is not a whole number of at least {least}")


def _read_weights(path: Path, config: ArtefactConfig) -> Weights:
    """Shapes and types are compared before any tensor is read: a false header costs nothing."""
    try:
        # Checks the header: types, and that offsets lie in the file, without gap or overlap.
        with safe_open(path, framework="numpy") as tensors:
            slices = {name: tensors.get_slice(name) for name in tensors.keys()}  # noqa: SIM118
            found = {n: (s.get_dtype(), tuple(s.get_shape())) for n, s in slices.items()}
        type_name, dtype = DTYPES[config.precision]
        _check_weights(found, config, type_name, str(path))
        return _read_arrays(path, weight_shapes(config.model), dtype)
    except SafetensorError as error:
        raise UserError(f"{path}: truncated or damaged ({error})") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from error


def _read_arrays(path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype[Any]) -> Weights:
    """Read checked tensors. safetensors' own reader maps the file and then copies: twice the memory,
    on devices that have little."""
    weights = {}
    with path.open("rb") as stream:
        (header_size,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(header_size))
        for name, shape in shapes.items():
            stream.seek(8 + header_size + header[name]["data_offsets"][0])
            weights[name] = np.fromfile(stream, dtype, prod(shape)).reshape(shape)
    return weights


def _check_weights(
    found: Mapping[str, tuple[str, tuple[int, ...]]], config: ArtefactConfig, dtype: str, where: str
) -> None:
    expected = weight_shapes(config.model)
    for name, shape in expected.items():
        if name not in found:
            raise UserError(f"{where}: tensor {name} is missing; expected shape {shape}")
        if found[name][1] != shape:
            raise UserError(f"{where}: tensor {name} has shape {found[name][1]}; expected {shape}")
        if found[name][0] != dtype:
            raise UserError(f"{where}: tensor {name} is of type {found[name][0]}; expected {dtype}")
    unknown = [name for name in found if name not in expected]
    if unknown:
        raise UserError(f"{where}: unknown tensor {unknown[0]}; the architecture has no such weight")


def _random_weight(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    if name.endswith(".bias"):
        return np.zeros(shape, np.float32)
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    # Embeddings as wide as N(0, 1/D), the rest Xavier-uniform.
    spread = 3 / shape[-1] if name in EMBEDDING_NAMES else 6 / (shape[-1] + shape[-2])
    values: NDArray[np.float32] = rng.random(shape, np.float32)
    values -= np.float32(0.5)
    values *= np.float32(2 * spread**0.5)
    return values


def _check_replaceable(folder: Path) -> None:
    if folder.is_dir() and (is_artefact(folder) or not any(folder.iterdir())):
        return
    if folder.exists():
        raise UserError(f"{folder}: exists and is not an artefact; choose another place")


def _replace_folder(new: Path, folder: Path) -> None:
    for path in sorted(new.rglob("*")):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
