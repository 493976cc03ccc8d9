"""The published SuperTransformer's weights under HAT's names."""

import math
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from hat.architecture import (
    EMBEDDING_NAMES,
    Architecture,
    Decoder,
    DecoderLayer,
    Embeddings,
    Encoder,
    EncoderLayer,
    ModelConfig,
    weight_shapes,
)
from hat.errors import UserError, shown
from hat.interop.checkpoint import ReferenceCheckpoint, read_checkpoint
from hat.interop.published_options import FIXED_NETWORK, check_architecture_name
from hat.model import Dropout, SuperTransformer

# HAT's part of a layer → the published one. Stacked projections list one published tensor per slice.
PARTS = {
    "self_attention.qkv": ("self_attn.q_proj_", "self_attn.k_proj_", "self_attn.v_proj_"),
    "self_attention.out": ("self_attn.out_proj.",),
    "self_attention_norm": ("self_attn_layer_norm.",),
    "cross_attention.q": ("encoder_attn.q_proj_",),
    "cross_attention.kv": ("encoder_attn.k_proj_", "encoder_attn.v_proj_"),
    "cross_attention.out": ("encoder_attn.out_proj.",),
    "cross_attention_norm": ("encoder_attn_layer_norm.",),
    "fc1": ("fc1.",),
    "fc2": ("fc2.",),
    "ffn_norm": ("final_layer_norm.",),
}
SOURCE, TARGET = "encoder.embed_tokens.weight", "decoder.embed_tokens.weight"
OUTPUT = "decoder.embed_out"
EMBEDDINGS = dict(zip(EMBEDDING_NAMES, (SOURCE, SOURCE, TARGET, OUTPUT), strict=True))

# Bookkeeping of the published code (docs/reference.md, Checkpoints).
IGNORED = re.compile(r"(en|de)coder\.(version|embed_positions\._float_tensor)")


def load_reference_checkpoint(path: Path | str) -> SuperTransformer:
    """The SuperTransformer of a published checkpoint, in float32 and evaluation mode.

    A SubTransformer's checkpoint holds the whole SuperTransformer too and reads the same. Dropout
    is the checkpoint's own. Raises UserError if the file is damaged, holds unexpected objects,
    lacks tensors, has tensors of other names or shapes, or describes a network that HAT does not have.
    """
    return supertransformer(read_checkpoint(Path(path)), str(path))


def supertransformer(checkpoint: ReferenceCheckpoint, where: str) -> SuperTransformer:
    """The SuperTransformer of a checkpoint that has been read from `where`. Raises UserError as
    `load_reference_checkpoint`."""
    try:
        _check_args(checkpoint.args)
        tensors = _split_projections(checkpoint.tensors)
        config = _config(checkpoint.args, tensors)
        weights = _weights(config, tensors)
        rates = (_number(checkpoint.args, name, 1) for name in ("dropout", "attention_dropout"))
        network = SuperTransformer(config, Dropout(*rates))
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    network.largest.load_state_dict(weights)
    return network.eval()


def reference_names(name: str) -> tuple[str, ...]:
    """The published tensors that make up HAT's weight `name`: several for a stacked one.

    The published `in_proj_weight` and `in_proj_bias` are named by their thirds, `q_proj_weight`
    and so on, as the published code itself does where the two sides' widths differ.
    """
    if name in EMBEDDINGS:
        return (EMBEDDINGS[name],)
    side, index, rest = name.split(".", 2)
    part, kind = rest.rsplit(".", 1)
    return tuple(f"{side}.layers.{index}.{theirs}{kind}" for theirs in PARTS[part])


def _check_args(args: Mapping[str, object]) -> None:
    """Raises UserError for settings of a network that HAT does not have."""
    if args.get("arch") is not None:
        check_architecture_name(args["arch"])
    for name, fixed in FIXED_NETWORK.items():
        if not fixed.allows(args.get(name)):
            raise UserError(f"trained with {name} = {shown(args[name])}; only {fixed.choices()} is supported")
    for name, value in args.items():
        if ("expert" in name or "moe" in name.split("_")) and value:
            raise UserError(f"{name}: {shown(value)}: a mixture of experts is another network")


def _number(args: Mapping[str, object], name: str, below: float = math.inf) -> float:
    value = args.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < below:
        raise UserError(f"setting {name} is {shown(value)}, expected a number")
    return value


def _count(args: Mapping[str, object], name: str) -> int:
    if (value := _number(args, name)) != int(value):
        raise UserError(f"setting {name} is {shown(value)}, expected a whole number")
    return int(value)


def _split_projections(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Cut `in_proj` tensors into their thirds, and leave the bookkeeping out."""
    split = {}
    for name, tensor in tensors.items():
        if IGNORED.fullmatch(name):
            continue
        if ".in_proj_" not in name:
            split[name] = tensor
        elif tensor.dim() == 0 or tensor.shape[0] % 3:
            raise UserError(f"tensor {name}: shape {tuple(tensor.shape)}, expected three equal parts")
        else:
            for letter, third in zip("qkv", tensor.chunk(3), strict=True):
                split[name.replace("in_proj_", f"{letter}_proj_")] = third
    return split


def _config(args: Mapping[str, object], tensors: Mapping[str, Tensor]) -> ModelConfig:
    """Read off the tensors' shapes. Heads leave no trace there: `args` has the largest counts."""
    encoder_heads = _count(args, "encoder_attention_heads")
    decoder_heads = _count(args, "decoder_attention_heads")
    source_vocab, encoder_dim = _shape(tensors, SOURCE)
    target_vocab, decoder_dim = _shape(tensors, TARGET)
    qkv_dim, _ = _shape(tensors, "encoder.layers.0.self_attn.q_proj_weight")
    widths = _ffn_dims(tensors, "encoder"), _ffn_dims(tensors, "decoder")
    encoder = Encoder(encoder_dim, tuple(EncoderLayer(width, encoder_heads) for width in widths[0]))
    layers = (DecoderLayer(width, decoder_heads, decoder_heads) for width in widths[1])
    architecture = Architecture(qkv_dim, encoder, Decoder(decoder_dim, tuple(layers)))
    shared = OUTPUT not in tensors and torch.equal(tensors[SOURCE], tensors[TARGET])
    embeddings: Embeddings = "shared" if shared else "separate"
    return ModelConfig(architecture, source_vocab, target_vocab, embeddings=embeddings)


def _ffn_dims(tensors: Mapping[str, Tensor], side: str) -> list[int]:
    """The feed-forward widths of the layers that have any tensor."""
    layers = {name.split(".")[2] for name in tensors if name.startswith(f"{side}.layers.")}
    names = (f"{side}.layers.{index}.fc1.weight" for index in range(len(layers)))
    return [_shape(tensors, name)[0] for name in names]


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, int]:
    if name not in tensors:
        raise UserError(f"tensor {name} is missing")
    if tensors[name].dim() != 2:
        raise UserError(f"tensor {name}: shape {tuple(tensors[name].shape)}, expected a matrix")
    rows, columns = tensors[name].shape
    return rows, columns


def _weights(config: ModelConfig, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # A checkpoint without an output matrix ties it to the target's.
    tensors = {OUTPUT: tensors[TARGET], **tensors}
    weights = {}
    used = set(EMBEDDINGS.values())
    for name, shape in weight_shapes(config).items():
        stacked = ".q." in name or "kv." in name
        pieces = []
        for theirs in reference_names(name):
            if theirs not in tensors:
                raise UserError(f"tensor {theirs} is missing")
            expected, shape_there = shape[1:] if stacked else shape, tuple(tensors[theirs].shape)
            if shape_there != expected:
                raise UserError(f"tensor {theirs}: shape {shape_there}, expected {expected}")
            pieces.append(tensors[theirs].float())
            used.add(theirs)
        weights[name] = torch.stack(pieces) if stacked else pieces[0]
    unexpected = sorted(tensors.keys() - used)
    if unexpected:
        names = ", ".join(unexpected[:3])
        raise UserError(f"unexpected tensors, {len(unexpected)} in all: {names}")
    return weights
