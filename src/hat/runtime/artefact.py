"""The artefact: a folder with all that a device needs to translate, checked when it is read.

config.json (architecture, languages, precision …), model.safetensors (weights under the names and shapes of
`hat.architecture.weight_shapes`, stored as `hat.runtime.weights` says) and tokenizer/ (absent from models
made only for timing).
"""

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hat.architecture import EMBEDDING_NAMES, ModelConfig, architecture_from_dict, weight_shapes
from hat.arguments import check_count
from hat.disk import restore_folder
from hat.errors import UserError, shown
from hat.file_names import CONFIG, TOKENIZER, WEIGHTS
from hat.files import FolderKind, atomic_folder, check_keys, read_json, record_from, write_json
from hat.runtime.decoding import DecodeOptions
from hat.runtime.tokenizer.config import KINDS, TokenizerConfig
from hat.runtime.training_lines import TrainingLines
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
# The limits of the engines. Other widths need no bound of their own: the file holds weights of that shape.
LARGEST_DIM, LARGEST_VOCAB = 1 << 20, 1 << 26
MODEL_KEYS = ("source_vocab", "target_vocab", "embeddings", "encoder_super_dim", "decoder_super_dim")
DECODE_KEYS = ("beam", "length_penalty", "max_length_factor", "max_length_offset")
CONFIG_KEYS = (
    *("format", "architecture", "source_language", "target_language", *MODEL_KEYS),
    *("precision", "decode", "tokenizer", "provenance"),
)
# Keys of config.json that it has only at a k-means precision, for layers that do not normalise as published,
# and if the length of the training text's lines is known.
CODE_BOOKS, NORM, TRAINING_LINES = "code_books", "norm", "training_lines"
OPTIONAL = (NORM, TRAINING_LINES)


@dataclass(frozen=True)
class ArtefactConfig:
    """The content of config.json.

    `decode`: the model's defaults (nbest and min_length are up to the user and not written). `tokenizer`:
    None for a model made only for timing. `provenance`: free JSON data (recipe, data digest, metrics).
    `code_books`: used at k-means precisions only. `training_lines`: the length of lines that the model can
    translate at once; None if not known.
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
        """The configuration from JSON data, read strictly. Raises UserError naming `where` and the key."""
        kmeans = isinstance(value, Mapping) and is_kmeans(value.get("precision"))
        required = (*CONFIG_KEYS, CODE_BOOKS) if kmeans else CONFIG_KEYS
        keys = check_keys(value, (*required, *OPTIONAL), where, optional=OPTIONAL)
        if keys["format"] != FORMAT:
            raise UserError(
                f"{where}: format {shown(keys['format'])}; this version of hat reads format {FORMAT}"
            )
        for name in ("source_language", "target_language"):
            if not isinstance(keys[name], str) or not keys[name]:
                raise UserError(f"{where}: {name}: {shown(keys[name])} is not a language's code")
        check_precision(keys["precision"], f"{where}: precision")
        if not isinstance(keys["provenance"], dict):
            raise UserError(f"{where}: provenance: expected a mapping")
        if (tokenizer := keys["tokenizer"]) is not None:
            tokenizer = TokenizerConfig.from_dict(tokenizer, f"{where}: tokenizer")
        if (lines := keys.get(TRAINING_LINES)) is not None:
            lines = record_from(TrainingLines, lines, f"{where}: {TRAINING_LINES}")
        books = record_from(CodeBooks, keys[CODE_BOOKS], f"{where}: {CODE_BOOKS}") if kmeans else ONE_A_MATRIX
        return cls(
            _model_config(keys, where),
            source_language=keys["source_language"],
            target_language=keys["target_language"],
            precision=keys["precision"],
            decode=record_from(DecodeOptions, keys["decode"], f"{where}: decode", DECODE_KEYS),
            tokenizer=tokenizer,
            provenance=keys["provenance"],
            code_books=books,
            training_lines=lines,
        )

    def to_dict(self) -> dict[str, Any]:
        """The content of config.json."""
        return {
            "format": FORMAT,
            "architecture": self.model.architecture.to_dict(),
            "source_language": self.source_language,
            "target_language": self.target_language,
            **{name: getattr(self.model, name) for name in MODEL_KEYS},
            **({} if self.model.norm == "post" else {NORM: self.model.norm}),
            "precision": self.precision,
            **({CODE_BOOKS: asdict(self.code_books)} if is_kmeans(self.precision) else {}),
            "decode": {name: getattr(self.decode, name) for name in DECODE_KEYS},
            "tokenizer": self.tokenizer and self.tokenizer.to_dict(),
            "provenance": dict(self.provenance),
            **({TRAINING_LINES: asdict(self.training_lines)} if self.training_lines else {}),
        }

    def stored_tensors(self) -> Stored:
        """Types and shapes of the tensors in the file of weights."""
        return stored_tensors(self.model, self.precision, self.code_books)


@dataclass(frozen=True)
class Artefact:
    """One model ready to run. `weights`: the tensors as they are stored; those of a loaded artefact are read
    from its file at each access. `tokenizer_folder` holds the files that `config.tokenizer` names."""

    config: ArtefactConfig
    weights: Weights
    tokenizer_folder: Path | None = None

    @classmethod
    def load(cls, folder: str | Path) -> "Artefact":
        """Check an artefact folder; its weights stay in the file until they are used. Raises UserError naming
        the file, the tensor and its expected form."""
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
        """A model with random weights and no tokenizer, which costs as much to run as a trained one. Raises
        UserError for an unknown precision."""
        check_precision(precision, "precision")
        rng, books = np.random.default_rng(seed), usual_books(precision)
        weights: dict[str, NDArray[Any]] = {}
        for name, shape in weight_shapes(model).items():
            weights |= pack(name, _random_weight(name, shape, rng), precision, books)
        return cls(ArtefactConfig(model, precision=precision, code_books=books), weights)

    def at_precision(self, precision: str, code_books: CodeBooks | None = None) -> "Artefact":
        """This model with weights stored at `precision`. `code_books`: the form of k-means' code books, by
        default `usual_books`; ignored at other precisions.

        Raises UserError if the precision is unknown, this model is not float32, or its weights are not
        finite.
        """
        check_precision(precision, "precision")
        present = self.config.precision
        same_books = not is_kmeans(present) or code_books in (None, self.config.code_books)
        if precision == present and same_books:
            return self
        if present != "float32":
            raise UserError(
                f"precision: the model is {present} already; only a float32 one can become {precision}"
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
        """Copy the model's tokenizer, if any, to `folder`/tokenizer. Raises UserError if it is not there."""
        if self.config.tokenizer is None:
            return
        if self.tokenizer_folder is None:
            raise UserError("the configuration names a tokenizer, but none is given")
        (folder / TOKENIZER).mkdir()
        for name in self.config.tokenizer.file_names():
            shutil.copyfile(self.tokenizer_folder / name, folder / TOKENIZER / name)


def is_artefact(folder: Path) -> bool:
    """True if `folder` looks like an artefact (its content is not checked)."""
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def marked_format(folder: Path) -> object:
    """The format that the folder's configuration states; None for the configuration of another program,
    whose file may have the same name."""
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
# The mark is a number: artefacts of all versions have it, ONNX exports do not.
ARTEFACT = FolderKind(
    "an artefact", lambda folder: isinstance(marked_format(folder), int), TOKENIZER_FILES | {CONFIG, WEIGHTS}
)


def _model_config(keys: Mapping[str, Any], where: str) -> ModelConfig:
    for name in ("source_vocab", "target_vocab"):
        check_count(f"{where}: {name}", keys[name], 4, LARGEST_VOCAB)
    for name in ("encoder_super_dim", "decoder_super_dim"):
        check_count(f"{where}: {name}", keys[name], 1, LARGEST_DIM)
    architecture = architecture_from_dict(keys["architecture"], f"{where}: architecture")
    try:
        return ModelConfig(
            architecture, **{name: keys[name] for name in MODEL_KEYS}, norm=keys.get(NORM, "post")
        )
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _random_weight(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    if name.endswith(".bias"):
        return np.zeros(shape, np.float32)
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    # Uniform: embeddings with the variance of N(0, 1/D), the rest as Xavier.
    spread = 3 / shape[-1] if name in EMBEDDING_NAMES else 6 / (shape[-1] + shape[-2])
    values: NDArray[np.float32] = rng.random(shape, np.float32)
    values -= np.float32(0.5)
    values *= np.float32(2 * spread**0.5)
    return values
