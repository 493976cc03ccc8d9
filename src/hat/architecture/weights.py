"""The names and shapes of a model's weights: the one list that module, artefact and cost agree on."""

from dataclasses import dataclass
from typing import Literal

from hat.architecture.architecture import Architecture
from hat.errors import UserError, shown

Embeddings = Literal["shared", "separate"]

EMBEDDING_NAMES = ("embedding", "source_embedding", "target_embedding", "output_embedding")


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes a network's weights: an architecture and what surrounds it.

    `embeddings`: "shared" is one matrix for source, target and output (WMT), as wide as the wider
    side and sliced for the other; "separate" is three (IWSLT). `*_super_dim`: the widths of the
    SuperTransformer this model was taken from (0: its own width). They set the frequencies of the
    sinusoidal positions and scale dropout (REFERENCE items 6 and 8).
    """

    architecture: Architecture
    source_vocab: int
    target_vocab: int
    embeddings: Embeddings = "shared"
    encoder_super_dim: int = 0
    decoder_super_dim: int = 0

    def __post_init__(self) -> None:
        for side in ("encoder", "decoder"):
            own = getattr(self.architecture, side).embed_dim
            name = f"{side}_super_dim"
            if not getattr(self, name):
                object.__setattr__(self, name, own)
            if getattr(self, name) < own:
                raise UserError(f"{name}: {getattr(self, name)} is less than the {side}'s embed_dim {own}")
        if self.embeddings not in ("shared", "separate"):
            raise UserError(f"embeddings: {shown(self.embeddings)}; the choices are shared, separate")
        if self.embeddings == "shared" and self.source_vocab != self.target_vocab:
            raise UserError("shared embeddings need one vocabulary for both sides")


def weight_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Name → shape of every weight. Projections that share an input are stacked along a first axis.

    Every tensor of a SubTransformer is the leading corner of the SuperTransformer's tensor of the
    same name, which is the whole of weight sharing.
    """
    architecture = config.architecture
    qkv, enc, dec = (
        architecture.qkv_dim,
        architecture.encoder.embed_dim,
        architecture.decoder.embed_dim,
    )
    shapes: dict[str, tuple[int, ...]] = {}
    if config.embeddings == "shared":
        shapes["embedding"] = (config.source_vocab, max(enc, dec))
    else:
        shapes["source_embedding"] = (config.source_vocab, enc)
        shapes["target_embedding"] = (config.target_vocab, dec)
        shapes["output_embedding"] = (config.target_vocab, dec)
    for index, encoder_layer in enumerate(architecture.encoder.layers):
        name = f"encoder.{index}"
        shapes |= _stacked(f"{name}.self_attention.qkv", 3, qkv, enc)
        shapes |= _linear(f"{name}.self_attention.out", enc, qkv) | _norm(f"{name}.self_attention_norm", enc)
        shapes |= _feed_forward(name, enc, encoder_layer.ffn_dim)
    for index, decoder_layer in enumerate(architecture.decoder.layers):
        name = f"decoder.{index}"
        shapes |= _stacked(f"{name}.self_attention.qkv", 3, qkv, dec)
        shapes |= _linear(f"{name}.self_attention.out", dec, qkv) | _norm(f"{name}.self_attention_norm", dec)
        shapes |= _stacked(f"{name}.cross_attention.q", 1, qkv, dec)
        shapes |= _stacked(f"{name}.cross_attention.kv", 2, qkv, enc)
        shapes |= _linear(f"{name}.cross_attention.out", dec, qkv) | _norm(
            f"{name}.cross_attention_norm", dec
        )
        shapes |= _feed_forward(name, dec, decoder_layer.ffn_dim)
    return shapes


def _stacked(name: str, count: int, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (count, outputs, inputs), f"{name}.bias": (count, outputs)}


def _linear(name: str, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, dim: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (dim,), f"{name}.bias": (dim,)}


def _feed_forward(name: str, dim: int, ffn_dim: int) -> dict[str, tuple[int, ...]]:
    return (
        _linear(f"{name}.fc1", ffn_dim, dim)
        | _linear(f"{name}.fc2", dim, ffn_dim)
        | _norm(f"{name}.ffn_norm", dim)
    )
