"""The artefact: a folder with all that a device needs to translate, checked when it is read.

config.json (what the model is), model.safetensors (weights under the names and shapes of
`hat.architecture.weight_shapes`, stored as `hat.runtime.weights.precision` says) and tokenizer/ (absent from
models made only for timing).
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hat.architecture import EMBEDDING_NAMES, ModelConfig, architecture_from_dict, weight_shapes
from hat.disk import restore_folder
from hat.errors import UserError, shown
from hat.files import FolderKind, atomic_folder, check_keys, read_json, write_json
from hat.runtime.engine import DecodeOptions
from hat.runtime.tokenizer.tokenizer import KINDS, TokenizerConfig
from hat.runtime.translator.long_input import TrainingLines
from hat.runtime.weights.code_books import ONE_A_MATRIX, CodeBooks
from hat.runtime.weights.precision import (
    Stored,
    Weights,
    check_precision,
    is_kmeans,
    pack,
    stored_tensors,
    unpack,
    usual_books,
)
from hat.runtime.weights.tensor_file import TensorFile, write_tensors

FORMAT = 1
# What the engines take. Other widths need no bound of their own: the file holds weights of that shape.
LARGEST_DIM, LARGEST_VOCAB = 1 << 20, 1 << 26
CONFIG, WEIGHTS, TOKENIZER = "config.json", "model.safetensors", "tokenizer"
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
# Keys of config.json that are there only for a k-means precision, for layers that do not normalise as
# published, and for a known length of the training text's lines.
CODE_BOOKS, NORM, TRAINING_LINES = "code_books", "norm", "training_lines"
OPTIONAL = (NORM, TRAINING_LINES)


@dataclass(frozen=True)
class ArtefactConfig:
    """The content of config.json.

    `decode`: the model's own defaults (nbest and min_length are the user's and not written). `tokenizer`:
    None for a model made only for timing. `provenance`: free JSON data (recipe, data digest, metrics).
    `code_books`: those of a k-means precision, else None. `training_lines`: the length of lines that the
    model can translate at once; None if not known.
    """

    model: ModelConfig
    source_language: str = "und"
    target_language: str = "und"
    precision: str = "float32"
    decode: DecodeOptions = field(default_factory=DecodeOptions)
    tokenizer: TokenizerConfig | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    code_books: CodeBooks = ONE_A_MATRIX
    training_lines: TrainingLines | None = None

    @classmethod
    def from_dict(cls, value: object, where: str) -> "ArtefactConfig":
        """Read strictly. Raises UserError naming `where` and the key."""
        kmeans = isinstance(value, Mapping) and is_kmeans(value.get("precision"))
        wanted = (*CONFIG_KEYS, CODE_BOOKS) if kmeans else CONFIG_KEYS
        keys = check_keys(value, (*wanted, *OPTIONAL), where, optional=OPTIONAL)
        if keys["format"] != FORMAT:
            found = shown(keys["format"])
            raise UserError(f"{where}: format {found}; this version of hat reads format {FORMAT}")
        for name in ("source_language", "target_language"):
            if not isinstance(keys[name], str) or not keys[name]:
                raise UserError(f"{where}: {name}: {shown(keys[name])} is not a language's code")
        check_precision(keys["precision"], f"{where}: precision")
        if not isinstance(keys["provenance"], dict):
            raise UserError(f"{where}: provenance: expected a mapping")
        tokenizer, lines = keys["tokenizer"], keys.get(TRAINING_LINES)
        return cls(
            _model_config(keys, where),
            keys["source_language"],
            keys["target_language"],
            keys["precision"],
            _decode_options(keys["decode"], where),
            None if tokenizer is None else TokenizerConfig.from_dict(tokenizer, f"{where}: tokenizer"),
            keys["provenance"],
            CodeBooks.from_dict(keys[CODE_BOOKS], f"{where}: {CODE_BOOKS}") if kmeans else ONE_A_MATRIX,
            None if lines is None else TrainingLines.from_dict(lines, f"{where}: {TRAINING_LINES}"),
        )

    def to_dict(self) -> dict[str, Any]:
        """The content of config.json."""
        tokenizer = self.tokenizer
        kmeans = is_kmeans(self.precision)
        return {
            "format": FORMAT,
            "architecture": self.model.architecture.to_dict(),
            "source_language": self.source_language,
            "target_language": self.target_language,
            **{name: getattr(self.model, name) for name in MODEL_KEYS},
            **({} if self.model.norm == "post" else {NORM: self.model.norm}),
            "precision": self.precision,
            **({CODE_BOOKS: self.code_books.to_dict()} if kmeans else {}),
            "decode": {name: getattr(self.decode, name) for name in DECODE_KEYS},
            "tokenizer": tokenizer and tokenizer.to_dict(),
            "provenance": dict(self.provenance),
            **({TRAINING_LINES: self.training_lines.to_dict()} if self.training_lines else {}),
        }

    def stored_tensors(self) -> Stored:
        """What the file of weights holds."""
        return stored_tensors(self.model, self.precision, self.code_books)


@dataclass(frozen=True)
class Artefact:
    """One model ready to run. `weights`: the tensors as they are stored, those of a loaded artefact
    read from its file whenever they are asked for. `tokenizer_folder` holds the files that
    `config.tokenizer` names."""

    config: ArtefactConfig
    weights: Weights
    tokenizer_folder: Path | None = None

    @classmethod
    def load(cls, folder: str | Path) -> "Artefact":
        """Check an artefact folder; its weights stay in the file until they are asked for.

        Raises UserError naming the file, the tensor and what was expected there.
        """
        folder = Path(folder)
        restore_folder(folder)
        if not is_artefact(folder):
            raise UserError(f"{folder}: not an artefact folder (no {CONFIG} and {WEIGHTS} in it)")
        config = ArtefactConfig.from_dict(read_json(folder / CONFIG), str(folder / CONFIG))
        weights = TensorFile(folder / WEIGHTS, config.stored_tensors())
        if config.tokenizer is None:
            return cls(config, weights)
        for name in config.tokenizer.file_names():
            if not (folder / TOKENIZER / name).is_file():
                raise UserError(f"{folder / TOKENIZER / name}: the tokenizer's file is missing")
        return cls(config, weights, folder / TOKENIZER)

    @classmethod
    def random(cls, model: ModelConfig, seed: int, precision: str = "float32") -> "Artefact":
        """A model with random weights and no tokenizer: what it costs to run, not what it says.

        Raises UserError where there is no such precision.
        """
        check_precision(precision, "precision")
        rng, books = np.random.default_rng(seed), usual_books(precision)
        weights: dict[str, NDArray[Any]] = {}
        for name, shape in weight_shapes(model).items():
            weights |= pack(name, _random_weight(name, shape, rng), precision, books)
        return cls(ArtefactConfig(model, precision=precision, code_books=books), weights)

    def at_precision(self, precision: str, code_books: CodeBooks | None = None) -> "Artefact":
        """This model with weights stored at `precision`. `code_books`: what k-means makes, by default
        `usual_books`; not looked at for other precisions.

        Raises UserError where there is no such precision, this model is not float32, or its weights
        are not finite.
        """
        check_precision(precision, "precision")
        own = self.config.precision
        same_books = not is_kmeans(own) or code_books in (None, self.config.code_books)
        if precision == own and same_books:
            return self
        if own != "float32":
            raise UserError(
                f"precision: the model is {own} already; only a float32 one can become {precision}"
                f"{'' if same_books else ' with other code books'}"
            )
        books = code_books if code_books and is_kmeans(precision) else usual_books(precision)
        weights: dict[str, NDArray[Any]] = {}
        for name, weight in self.weights.items():
            weights |= pack(name, weight, precision, books)
        config = replace(self.config, precision=precision, code_books=books)
        return replace(self, config=config, weights=weights)

    def with_decode(self, decode: DecodeOptions) -> "Artefact":
        """This model with other defaults of decoding."""
        return replace(self, config=replace(self.config, decode=decode))

    def float_weights(self) -> dict[str, NDArray[np.float32]]:
        """Every weight of `hat.architecture.weight_shapes` in float32, whatever the precision."""
        shapes = weight_shapes(self.config.model).items()
        return {name: unpack(name, shape, self.weights, self.config.code_books) for name, shape in shapes}

    def save(self, folder: Path) -> None:
        """Write the folder, whole or not at all; an earlier artefact is replaced.

        Raises UserError if `folder` holds anything else or the weights do not fit the configuration, HatError
        if writing fails.
        """
        with atomic_folder(folder, ARTEFACT) as temporary:
            self.write(temporary)

    def write(self, folder: Path) -> None:
        """Write the files into an empty folder, one after the other. Raises as `save`."""
        write_tensors(folder / WEIGHTS, self.weights, self.config.stored_tensors())
        self.write_tokenizer(folder)
        write_json(folder / CONFIG, self.config.to_dict())

    def write_tokenizer(self, folder: Path) -> None:
        """Copy the tokenizer's files, if the model has one, to `folder`/tokenizer. Raises UserError
        where the configuration names one that is not there."""
        if self.config.tokenizer is None:
            return
        if self.tokenizer_folder is None:
            raise UserError("the configuration names a tokenizer, but none is given")
        (folder / TOKENIZER).mkdir()
        for name in self.config.tokenizer.file_names():
            shutil.copyfile(self.tokenizer_folder / name, folder / TOKENIZER / name)


def is_artefact(folder: Path) -> bool:
    """Whether `folder` looks like an artefact (its content is not checked)."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def marked_format(folder: Path) -> object:
    """The format that the folder's configuration states; None for a configuration of another program, which
    may have the same file name."""
    try:
        config = read_json(folder / CONFIG)
    except UserError:
        return None
    return config["format"] if isinstance(config, dict) and config.keys() >= set(CONFIG_KEYS) else None


TOKENIZER_FILES = frozenset(
    f"{TOKENIZER}/{name}"
    for kind in KINDS
    for joint in (True, False)
    for name in TokenizerConfig(kind, joint).file_names()
)
# Artefacts of all versions.
ARTEFACT = FolderKind(
    "an artefact",
    lambda folder: isinstance(marked_format(folder), int),
    TOKENIZER_FILES | {CONFIG, WEIGHTS},
)


def _model_config(keys: Mapping[str, Any], where: str) -> ModelConfig:
    for name in ("source_vocab", "target_vocab"):
        _check_count(keys[name], 4, LARGEST_VOCAB, f"{where}: {name}")
    for name in ("encoder_super_dim", "decoder_super_dim"):
        _check_count(keys[name], 1, LARGEST_DIM, f"{where}: {name}")
    architecture = architecture_from_dict(keys["architecture"], f"{where}: architecture")
    try:
        return ModelConfig(
            architecture, **{name: keys[name] for name in MODEL_KEYS}, norm=keys.get(NORM, "post")
        )
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _decode_options(value: object, where: str) -> DecodeOptions:
    keys = check_keys(value, DECODE_KEYS, f"{where}: decode")
    try:
        return DecodeOptions(**keys)
    except UserError as error:
        raise UserError(f"{where}: decode.{error}") from error


def _check_count(value: object, least: int, most: int, where: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UserError(f"{where}: {shown(value)} is not a whole number of at least {least}")
    if value > most:
        raise UserError(f"{where}: {shown(value)} is more than {most}")


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
