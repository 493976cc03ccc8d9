"""The native engine: packed weights and hand-made kernels for batch-1 beam search, in C++ (native/)."""

import os
from collections.abc import Sequence
from typing import Any

from hat.architecture import DecoderLayer, EncoderLayer, ModelConfig
from hat.errors import HatError, UserError
from hat.runtime import _native
from hat.runtime.artefact import Artefact
from hat.runtime.decoding import DecodeOptions, Hypothesis
from hat.runtime.engines.engine import EngineSettings
from hat.runtime.engines.origin import Origin
from hat.runtime.weights.code_books import TABLE_BITS
from hat.runtime.weights.int8_view import Int8View, TableView
from hat.runtime.weights.precision import KMEANS_BITS, Weights, is_kmeans
from hat.threads import available_threads

# Forces an instruction set where the settings leave it open ("auto").
VARIABLE = "HAT_NATIVE_ISA"


class NativeEngine:
    """Translates on the CPU at the artefact's precision. Calls from several threads take turns. Only packed
    weights stay in memory: each tensor of the artefact is read, packed and released."""

    name = "native"

    def __init__(self, artefact: Artefact, settings: EngineSettings) -> None:
        """Raises UserError for a device or an instruction set that this machine lacks, and for weights that
        are not finite; HatError if the system refuses so many threads."""
        settings.engines([self.name])
        kernels = settings.instruction_set
        if kernels == "auto":
            kernels = os.environ.get(VARIABLE) or "auto"
        try:
            precisions, weights = _as_multiplied(artefact, kernels)
            config = _native_config(artefact.config.model) | precisions
            self._engine = _native.Engine(config, weights, settings.threads, available_threads(), kernels)
        except ValueError as error:
            raise UserError(str(error)) from error
        except RuntimeError as error:
            raise HatError(str(error)) from error
        self._origin = Origin("the native engine")

    @property
    def instruction_set(self) -> str:
        """Name of the kernels in use, for example avx2."""
        return self._engine.instruction_set

    @property
    def memory_bytes(self) -> tuple[int, int]:
        """Bytes of packed weights, and of the activations and caches kept between calls. Waits for a running
        call. Raises UserError in a process forked after loading."""
        self._origin.check()
        return self._engine.packed_bytes, self._engine.workspace_bytes

    def translate(self, sources: Sequence[Sequence[int]], options: DecodeOptions) -> list[list[Hypothesis]]:
        """As `Engine.translate`. Raises UserError for ids beyond the vocabulary, and in a forked process."""
        self._origin.check()
        try:
            batch = self._engine.translate([list(source) for source in sources], vars(options))
        except ValueError as error:
            raise UserError(str(error)) from error
        return [[Hypothesis(*hypothesis) for hypothesis in ranked] for ranked in batch]

    def score(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[tuple[float, ...]]:
        """As `Engine.score`. Raises UserError as `translate`."""
        self._origin.check()
        try:
            batch = self._engine.score(*([list(tokens) for tokens in side] for side in (sources, targets)))
        except ValueError as error:
            raise UserError(str(error)) from error
        return [tuple(scores) for scores in batch]

    def close(self) -> None:
        """Release weights and threads; without effect in a process forked after loading."""
        del self._engine, self._origin


def _as_multiplied(artefact: Artefact, instruction_set: str) -> tuple[dict[str, str], Weights]:
    """The precisions of layers and embeddings in products, and the weights at them. k-means weights of up to
    four bits become tables if the instruction set can look up in them, and int8 otherwise. Raises ValueError
    for an instruction set that this machine lacks."""
    precision = artefact.config.precision
    if not is_kmeans(precision):
        return {"precision": precision, "embedding_precision": precision}, artefact.weights
    name = _native.choose(instruction_set)
    looks_up = any(entry["name"] == name and entry["tables"] for entry in _native.instruction_sets())
    if KMEANS_BITS[precision] > TABLE_BITS or not looks_up:
        return {"precision": "int8", "embedding_precision": "int8"}, Int8View(artefact)
    embeddings = "table" if artefact.config.code_books.embeddings == "kmeans" else "int8"
    return {"precision": "table", "embedding_precision": embeddings}, TableView(artefact)


def _native_config(model: ModelConfig) -> dict[str, Any]:
    architecture = model.transformer
    config: dict[str, Any] = {name: getattr(architecture, name) for name in ("encoder_dim", "decoder_dim")}
    for side, tokens in (("encoder", "source"), ("decoder", "target")):
        config |= {name: getattr(model, name) for name in (f"{side}_super_dim", f"{tokens}_vocab")}
    for side, layers in (("encoder", architecture.encoder.layers), ("decoder", architecture.decoder.layers)):
        config[side] = [_native_layer(layer, architecture.qkv_dim) for layer in layers]
    config["embedding_rank"] = model.embedding_rank or 0
    return config | {"shared_embeddings": model.embeddings == "shared", "pre_norm": model.norm == "pre"}


def _native_layer(layer: EncoderLayer | DecoderLayer, qkv_dim: int) -> dict[str, int]:
    """The numbers of a layer, with the width of each attention: 0 for one that it lacks."""
    fields = dict(vars(layer))
    for prefix in layer.ATTENTIONS:
        shape = layer.attention(prefix, qkv_dim)
        fields[f"{prefix}qkv_dim"] = shape.qkv_dim if shape else 0
    return fields
