"""The Evolved Transformer (So et al., ICML 2019) as plain data: its cells, weights and cost.

The facts are from its authors' implementation (tensor2tensor's `evolved_transformer`): encoder cells
of a gated linear unit, branched convolutions, self-attention and a feed-forward part; decoder cells of
a self-attention with twice the heads beside an attention to the encoder, branched separable
convolutions, self-attention, attention to the encoder and a feed-forward part. A cell is about as deep
as two layers of a Transformer: the published sizes have 3 encoder and 4 decoder cells.

HAT's tables give 47M parameters and 2.9 GFLOPs on En-De (30 tokens, no embeddings), and the rules of `cost`
47.06M and 2.853 G at width 512. On En-Fr the tables give 175M and 10.8 G, the rules 187.7M and 11.32 G at
width 1024: 7% and 5% more. No width and number of cells gives both figures of En-Fr: they are 61.7 FLOPs a
parameter, and the rules give 60.3 to 60.7, here and for both Transformers. docs/baselines.md says more.
"""

from dataclasses import dataclass
from math import prod
from typing import Annotated

from hat.architecture import shapes
from hat.architecture.family import LayerState, Norm, PlainArchitecture
from hat.architecture.shapes import Shapes, attention_macs
from hat.errors import UserError

# Positions that the convolutions of a cell see.
NEAR, MERGE = 3, 9  # encoder
LONG, SHORT, CAUSAL_MERGE = 11, 7, 7  # decoder
MOST_DOUBLED_HEADS = 16
MOST_CELLS = 1 << 10  # a bound for files from elsewhere


@dataclass(frozen=True)
class EvolvedArchitecture(PlainArchitecture):
    """One Evolved Transformer; all other widths follow from `embed_dim`. Raises UserError where it cannot be
    built."""

    family = "evolved"
    embed_dim: Annotated[int, "Width of both residual streams; the published sizes are 512 and 1024."]
    heads: Annotated[
        int, "Heads of all attentions but the decoder's first, which has twice as many, up to 16."
    ]
    encoder_cells: Annotated[int, "Encoder cells, each about as deep as two Transformer layers."] = 3
    decoder_cells: Annotated[int, "Decoder cells."] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, cells in (("encoder_cells", self.encoder_cells), ("decoder_cells", self.decoder_cells)):
            if cells > MOST_CELLS:
                raise UserError(f"{name}: {cells} is more than {MOST_CELLS}")
        if self.embed_dim % 2:
            raise UserError(f"embed_dim: {self.embed_dim} is odd; half of it is a branch's width")
        for heads, place in ((self.heads, ""), (self.many_heads, " of the first self-attention")):
            if self.embed_dim % heads:
                raise UserError(f"heads: {heads} heads{place} do not divide embed_dim {self.embed_dim}")

    @property
    def many_heads(self) -> int:
        """Heads of the decoder's first self-attention: twice the others', doubled up to 16 only."""
        return max(min(2 * self.heads, MOST_DOUBLED_HEADS), self.heads)


def evolved_shapes(architecture: EvolvedArchitecture, norms: Norm) -> Shapes:
    """Name → shape of every weight but the embeddings.

    A convolution over k positions is stored as the linear map of their concatenation (O, k·I), a
    separable one as k taps for each channel (I, k) and a linear map (O, I).
    """
    d, weights = architecture.embed_dim, Shapes()
    for index in range(architecture.encoder_cells):
        weights |= _encoder_cell(f"encoder.{index}", d)
    weights |= shapes.norm("encoder_norm", d)
    for index in range(architecture.decoder_cells):
        weights |= _decoder_cell(f"decoder.{index}", d)
    return weights | shapes.norm("decoder_norm", d)


def evolved_work(architecture: EvolvedArchitecture, length: int) -> int:
    """Multiply-accumulates of one teacher-forced pass by the rules of `cost`, in which products of two
    activations (the gate, swish) count once per element, as the scaling of queries does."""
    d, per_token = architecture.embed_dim, 2 * (architecture.embed_dim + 1)
    encoder = _weights_per_token(_encoder_cell("", d), attentions=1) + d
    decoder = _weights_per_token(_decoder_cell("", d), attentions=4) + 4 * d
    per_token += architecture.encoder_cells * encoder + architecture.decoder_cells * decoder + 2 * d
    attentions = architecture.encoder_cells + 4 * architecture.decoder_cells
    return length * per_token + attentions * attention_macs(d, d, d, queries=length, keys=length)


def evolved_decoder_states(architecture: EvolvedArchitecture) -> list[LayerState]:
    """Two attentions of each kind in a cell, and the past inputs of its two convolutions."""
    heads, many, d = architecture.heads, architecture.many_heads, architecture.embed_dim
    cell = LayerState(
        self_attentions=(("many", many, d // many), ("self", heads, d // heads)),
        cross_attentions=(("first", heads, d // heads, 1), ("cross", heads, d // heads, 1)),
        windows=(("branch", LONG - 1, d), ("merge", CAUSAL_MERGE - 1, 2 * d)),
    )
    return [cell] * architecture.decoder_cells


def _weights_per_token(cell: Shapes, attentions: int) -> int:
    """Multiply-accumulates of a cell without its attentions: every weight is used once a token."""
    d = cell[".ffn_norm.weight"][0]
    used = sum(prod(shape) for name, shape in cell.items() if name.endswith(".weight"))
    return used - attentions * 4 * d * d


def _encoder_cell(name: str, d: int) -> Shapes:
    return (
        shapes.norm(f"{name}.gated_norm", d)
        | shapes.stacked(f"{name}.gated", 2, d, d)
        | shapes.norm(f"{name}.branch_norm", d)
        | shapes.linear(f"{name}.wide", 4 * d, d)
        | shapes.linear(f"{name}.near", d // 2, NEAR * d)
        | shapes.norm(f"{name}.merge_norm", 4 * d)
        | _separable(f"{name}.merge", MERGE, d // 2, 4 * d)
        | shapes.norm(f"{name}.self_attention_norm", d)
        | shapes.self_attention(f"{name}.self_attention", d, d)
        | shapes.norm(f"{name}.ffn_norm", d)
        | shapes.linear(f"{name}.fc1", 4 * d, d)
        | shapes.linear(f"{name}.fc2", d, 4 * d)
    )


def _decoder_cell(name: str, d: int) -> Shapes:
    return (
        shapes.norm(f"{name}.attention_norm", d)
        | shapes.self_attention(f"{name}.many_headed_attention", d, d)
        | shapes.cross_attention(f"{name}.first_cross_attention", d, d, d)
        | shapes.norm(f"{name}.branch_norm", d)
        | _separable(f"{name}.long", LONG, 2 * d, d)
        | _separable(f"{name}.short", SHORT, d // 2, d)
        | shapes.norm(f"{name}.merge_norm", 2 * d)
        | _separable(f"{name}.merge", CAUSAL_MERGE, d, 2 * d)
        | shapes.norm(f"{name}.self_attention_norm", d)
        | shapes.self_attention(f"{name}.self_attention", d, d)
        | shapes.norm(f"{name}.cross_attention_norm", d)
        | shapes.cross_attention(f"{name}.cross_attention", d, d, d)
        | shapes.norm(f"{name}.ffn_norm", d)
        | shapes.linear(f"{name}.fc1", 4 * d, d)
        | shapes.norm(f"{name}.hidden_norm", 4 * d)
        | shapes.linear(f"{name}.fc2", d, 4 * d)
    )


def _separable(name: str, positions: int, outputs: int, inputs: int) -> Shapes:
    depthwise = {f"{name}.depthwise.weight": (inputs, positions)}
    return depthwise | shapes.linear(f"{name}.pointwise", outputs, inputs)
