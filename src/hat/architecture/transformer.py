"""The Transformer, HAT's SubTransformers among them, as plain data: its layers, weights and cost."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from hat.architecture.family import LayerState, Norm
from hat.architecture.published import naming_record_lines, read_record
from hat.architecture.shapes import Shapes, attention_macs, cross_attention, linear, norm, self_attention
from hat.arguments import check_count, plain_numbers
from hat.errors import UserError
from hat.files import check_keys, digest


class _Part:
    """A part of an architecture, a dataclass; NumPy's numbers in its fields become Python's."""

    def __post_init__(self) -> None:
        plain_numbers(self)


@dataclass(frozen=True)
class EncoderLayer(_Part):
    """One encoder layer: width of its feed-forward part, heads of its self-attention."""

    ffn_dim: int
    heads: int


@dataclass(frozen=True)
class DecoderLayer(_Part):
    """One decoder layer. `encoder_layers_attended` = n: cross-attention sees the last n encoder layers."""

    ffn_dim: int
    self_heads: int
    cross_heads: int
    encoder_layers_attended: int = 1


Layer = TypeVar("Layer", EncoderLayer, DecoderLayer)


@dataclass(frozen=True)
class Encoder(_Part):
    """The encoder: width of its residual stream, and its layers from the source upwards."""

    embed_dim: int
    layers: tuple[EncoderLayer, ...]


@dataclass(frozen=True)
class Decoder(_Part):
    """The decoder: width of its residual stream, and its layers from the target upwards."""

    embed_dim: int
    layers: tuple[DecoderLayer, ...]


@dataclass(frozen=True)
class Architecture:
    """One SubTransformer of the design space (HAT, section 3.1).

    `qkv_dim` is the total width of queries, keys and values; a layer's heads partition it.
    Raises UserError where it cannot be built.
    """

    qkv_dim: int
    encoder: Encoder
    decoder: Decoder

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_count("qkv_dim", self.qkv_dim)
        for side in ("encoder", "decoder"):
            part: Encoder | Decoder = getattr(self, side)
            check_count(f"{side}.embed_dim", part.embed_dim)
            if not part.layers:
                raise UserError(f"{side}.layers: at least one layer is needed")
            layers: tuple[EncoderLayer | DecoderLayer, ...] = part.layers
            for index, layer in enumerate(layers):
                self._check_layer(layer, f"{side}.layers[{index}]")

    @property
    def encoder_dim(self) -> int:
        """Width of the encoder's residual stream."""
        return self.encoder.embed_dim

    @property
    def decoder_dim(self) -> int:
        """Width of the decoder's residual stream."""
        return self.decoder.embed_dim

    def _check_layer(self, layer: EncoderLayer | DecoderLayer, where: str) -> None:
        for name, value in vars(layer).items():
            check_count(f"{where}.{name}", value)
            if name.endswith("heads") and self.qkv_dim % value:
                raise UserError(f"{where}.{name}: {value} heads do not divide qkv_dim {self.qkv_dim}")
        attended = getattr(layer, "encoder_layers_attended", 1)
        if attended > len(self.encoder.layers):
            raise UserError(
                f"{where}.encoder_layers_attended: {attended}, but the encoder has "
                f"{len(self.encoder.layers)} layers"
            )

    @classmethod
    def from_dict(cls, value: object, where: str = "architecture") -> "Architecture":
        """Build from the published schema (nested mappings, as `to_dict` gives). Raises UserError."""
        top = check_keys(value, ("qkv_dim", "encoder", "decoder"), where)
        encoder = _side(EncoderLayer, top["encoder"], f"{where}.encoder")
        decoder = _side(DecoderLayer, top["decoder"], f"{where}.decoder")
        try:
            return cls(top["qkv_dim"], Encoder(*encoder), Decoder(*decoder))
        except UserError as error:
            raise UserError(f"{where}.{error}") from error

    def to_dict(self) -> dict[str, Any]:
        """The published schema: mappings, lists and integers only."""
        value = asdict(self)
        for side in ("encoder", "decoder"):
            value[side]["layers"] = list(value[side]["layers"])
        return value

    @classmethod
    def load(cls, path: Path) -> "Architecture":
        """Read a YAML or JSON file with an architecture, with a record that has the key `architecture` (as
        the zoo's do), or in a form of the published code (`hat.architecture.published.read_record`). Raises
        UserError."""
        record = read_record(path)
        with naming_record_lines(path):
            return cls.from_dict(record, f"{path}: architecture")

    def short_hash(self) -> str:
        """Twelve hexadecimal digits that name this architecture."""
        return digest(self.to_dict())[:12]


def transformer_shapes(architecture: Architecture, norms: Norm) -> Shapes:
    """Name → shape of every weight but the embeddings."""
    qkv, enc, dec = architecture.qkv_dim, architecture.encoder_dim, architecture.decoder_dim
    shapes = Shapes()
    for index, encoder_layer in enumerate(architecture.encoder.layers):
        name = f"encoder.{index}"
        shapes |= self_attention(f"{name}.self_attention", enc, qkv)
        shapes |= norm(f"{name}.self_attention_norm", enc)
        shapes |= _feed_forward(name, enc, encoder_layer.ffn_dim)
    for index, decoder_layer in enumerate(architecture.decoder.layers):
        name = f"decoder.{index}"
        shapes |= self_attention(f"{name}.self_attention", dec, qkv)
        shapes |= norm(f"{name}.self_attention_norm", dec)
        shapes |= cross_attention(f"{name}.cross_attention", dec, enc, qkv)
        shapes |= norm(f"{name}.cross_attention_norm", dec)
        shapes |= _feed_forward(name, dec, decoder_layer.ffn_dim)
    return shapes if norms == "post" else shapes | norm("encoder_norm", enc) | norm("decoder_norm", dec)


def _feed_forward(name: str, dim: int, ffn_dim: int) -> Shapes:
    fc1, fc2 = linear(f"{name}.fc1", ffn_dim, dim), linear(f"{name}.fc2", dim, ffn_dim)
    return fc1 | fc2 | norm(f"{name}.ffn_norm", dim)


def transformer_work(architecture: Architecture, length: int) -> int:
    """Multiply-accumulates of one teacher-forced pass by the rules of `cost`."""
    qkv, enc, dec = architecture.qkv_dim, architecture.encoder_dim, architecture.decoder_dim
    macs = length * (enc + 1) + length * (dec + 1)
    for layer in architecture.encoder.layers:
        macs += attention_macs(qkv, enc, enc, queries=length, keys=length)
        macs += 2 * length * enc + 2 * length * enc * layer.ffn_dim
    for decoder_layer in architecture.decoder.layers:
        keys = length * decoder_layer.encoder_layers_attended
        macs += attention_macs(qkv, dec, dec, queries=length, keys=length)
        macs += attention_macs(qkv, dec, enc, queries=length, keys=keys)
        macs += 3 * length * dec + 2 * length * dec * decoder_layer.ffn_dim
    return macs


def transformer_decoder_states(architecture: Architecture) -> list[LayerState]:
    """One self-attention and one cross-attention a layer."""
    return [
        LayerState(
            (("self", layer.self_heads),), (("cross", layer.cross_heads, layer.encoder_layers_attended),)
        )
        for layer in architecture.decoder.layers
    ]


def transformer_text(architecture: Architecture) -> str:
    """The layers, one a line."""
    encoder, decoder = architecture.encoder, architecture.decoder
    lines = [f"qkv_dim {architecture.qkv_dim}", f"encoder, embed_dim {encoder.embed_dim}"]
    lines += [f"  {n}: ffn {layer.ffn_dim}, heads {layer.heads}" for n, layer in enumerate(encoder.layers, 1)]
    lines.append(f"decoder, embed_dim {decoder.embed_dim}")
    for n, row in enumerate(decoder.layers, 1):
        heads = f"heads {row.self_heads} self, {row.cross_heads} cross"
        lines.append(f"  {n}: ffn {row.ffn_dim}, {heads}, attends to the last {row.encoder_layers_attended}")
    return "\n".join(lines)


def _side(kind: type[Layer], value: object, where: str) -> tuple[Any, tuple[Layer, ...]]:
    """The width and the layers of one side."""
    side = check_keys(value, ("embed_dim", "layers"), where)
    if not isinstance(side["layers"], list | tuple):
        raise UserError(f"{where}.layers: expected a list of layers")
    names = [field.name for field in fields(kind)]
    return side["embed_dim"], tuple(
        kind(**check_keys(layer, names, f"{where}.layers[{index}]", optional=("encoder_layers_attended",)))
        for index, layer in enumerate(side["layers"])
    )
