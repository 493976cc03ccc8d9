"""One layer of a Transformer as plain data: its sizes, and the sub-layers that it lacks."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from hat.arguments import check_count, plain_numbers
from hat.errors import UserError

MOST_PASSES = 64  # a bound for files from elsewhere


class Part:
    """A part of an architecture, a dataclass; NumPy's numbers in its fields become Python's."""

    def __post_init__(self) -> None:
        plain_numbers(self)


@dataclass(frozen=True)
class AttentionShape:
    """The heads of an attention, and the total width of its queries, of its keys and of its values, which the
    heads divide evenly."""

    heads: int
    qkv_dim: int

    @property
    def head_dim(self) -> int:
        """The width of one head."""
        return self.qkv_dim // self.heads


@dataclass(frozen=True)
class Layer(Part):
    """A layer with attentions, each of which has its fields under a prefix of their names. The layer has no
    attention of 0 heads, and no feed-forward part of width 0; nor has it their normalization. It runs
    `passes` times, one after another, with the same weights: as many layers that share theirs."""

    ATTENTIONS: ClassVar[tuple[str, ...]]

    def attention(self, prefix: str, qkv_dim: int) -> AttentionShape | None:
        """The attention of that prefix, None if the layer lacks it. `qkv_dim`: the architecture's."""
        fields = vars(self)
        heads, width = fields[f"{prefix}heads"], fields[f"{prefix}qkv_dim"]
        return AttentionShape(heads, width or qkv_dim) if heads else None

    def without_width(self, qkv_dim: int) -> Self:
        """The layer, with None for each width of an attention that is `qkv_dim`."""
        widths = [f"{prefix}qkv_dim" for prefix in self.ATTENTIONS]
        equal: dict[str, Any] = dict.fromkeys(name for name in widths if vars(self)[name] == qkv_dim)
        return replace(self, **equal) if equal else self

    def check(self, qkv_dim: int) -> None:
        """Raises UserError naming a field that no layer of an architecture of this `qkv_dim` can have."""
        for name, value in vars(self).items():
            if value is not None:
                least = 0 if name.endswith(("heads", "ffn_dim")) else 1
                check_count(name, value, least, MOST_PASSES if name == "passes" else None)
        for prefix in self.ATTENTIONS:
            name, width = f"{prefix}qkv_dim", vars(self)[f"{prefix}qkv_dim"]
            shape = self.attention(prefix, qkv_dim)
            if shape is None and width is not None:
                raise UserError(f"{name}: {width}, but {prefix}heads is 0: the layer has no such attention")
            if shape is not None and shape.qkv_dim % shape.heads:
                raise UserError(f"{prefix}heads: {shape.heads} heads do not divide qkv_dim {shape.qkv_dim}")


@dataclass(frozen=True)
class EncoderLayer(Layer):
    """One encoder layer: width of its feed-forward part; heads and width of its self-attention, None for the
    architecture's `qkv_dim`. 0: the layer has no such part."""

    ATTENTIONS = ("",)
    ffn_dim: int
    heads: int
    qkv_dim: int | None = None
    passes: int = 1

    def self_attention(self, qkv_dim: int) -> AttentionShape | None:
        """The layer's self-attention, None if it has none. `qkv_dim`: the architecture's."""
        return self.attention("", qkv_dim)


@dataclass(frozen=True)
class DecoderLayer(Layer):
    """One decoder layer, with fields as an encoder layer's. `encoder_layers_attended` = n: cross-attention
    sees the last n encoder layers."""

    ATTENTIONS = ("self_", "cross_")
    ffn_dim: int
    self_heads: int
    cross_heads: int
    encoder_layers_attended: int = 1
    self_qkv_dim: int | None = None
    cross_qkv_dim: int | None = None
    passes: int = 1

    def self_attention(self, qkv_dim: int) -> AttentionShape | None:
        """The layer's self-attention, None if it has none. `qkv_dim`: the architecture's."""
        return self.attention("self_", qkv_dim)

    def cross_attention(self, qkv_dim: int) -> AttentionShape | None:
        """The layer's attention to the encoder, None if it has none. `qkv_dim`: the architecture's."""
        return self.attention("cross_", qkv_dim)

    def check(self, qkv_dim: int) -> None:
        super().check(qkv_dim)
        if self.encoder_layers_attended > 1 and not self.cross_heads:
            raise UserError(
                f"encoder_layers_attended: {self.encoder_layers_attended}, but cross_heads is 0: "
                "the layer does not attend to the encoder"
            )
