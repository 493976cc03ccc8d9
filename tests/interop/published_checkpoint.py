"""A tiny model in the published layout."""

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

QKV, FFN, VOCAB = 8, (6, 5), 11

Tensors = dict[str, Tensor]
Save = Callable[..., Path]


def published_tensors(encoder_dim: int = 12, decoder_dim: int = 12) -> Tensors:
    """A random state dict as the published code names it: 2 + 2 layers, shared embeddings."""
    shapes: dict[str, tuple[int, ...]] = {"encoder.version": (1,)}
    for side, dim in (("encoder", encoder_dim), ("decoder", decoder_dim)):
        shapes[f"{side}.embed_tokens.weight"] = (VOCAB, dim)
        shapes[f"{side}.embed_positions._float_tensor"] = (1,)
        for index, ffn_dim in enumerate(FFN):
            layer = f"{side}.layers.{index}"
            shapes |= attention(f"{layer}.self_attn", dim, dim)
            if side == "decoder":
                shapes |= attention(f"{layer}.encoder_attn", dim, encoder_dim)
            shapes |= {f"{layer}.fc1.weight": (ffn_dim, dim), f"{layer}.fc1.bias": (ffn_dim,)}
            shapes |= {f"{layer}.fc2.weight": (dim, ffn_dim), f"{layer}.fc2.bias": (dim,)}
            for kind in ("weight", "bias"):
                shapes[f"{layer}.final_layer_norm.{kind}"] = (dim,)
    generator = torch.Generator().manual_seed(0)
    tensors = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    if encoder_dim == decoder_dim:
        tensors["decoder.embed_tokens.weight"] = tensors["encoder.embed_tokens.weight"]
    return tensors


def attention(name: str, dim: int, memory_dim: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {f"{name}.in_proj_bias": (3 * QKV,)}
    if dim == memory_dim:
        shapes[f"{name}.in_proj_weight"] = (3 * QKV, dim)
    else:
        widths = (("q", dim), ("k", memory_dim), ("v", memory_dim))
        shapes |= {f"{name}.{letter}_proj_weight": (QKV, width) for letter, width in widths}
    shapes |= {f"{name}.out_proj.weight": (dim, QKV), f"{name}.out_proj.bias": (dim,)}
    return shapes | {f"{name}_layer_norm.weight": (dim,), f"{name}_layer_norm.bias": (dim,)}


def published_args(**changed: object) -> Namespace:
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 2}
    return Namespace(**{"dropout": 0.3, "attention_dropout": 0.1, **heads, **changed})


def predictor_tensors(hidden: int = 7, layers: int = 3) -> dict[str, Tensor]:
    """A published latency predictor's weights."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"first_layer": (hidden, 10), "predict": (1, hidden)}
    shapes |= {f"layers.{index}": (hidden, hidden) for index in range(layers)}
    found = {}
    for name, shape in shapes.items():
        found[f"{name}.weight"] = torch.randn(shape, generator=generator)
        found[f"{name}.bias"] = torch.randn(shape[:1], generator=generator)
    return found
