"""The Transformer, HAT's SubTransformers among them, as plain data: its layers, weights and cost."""

from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from hat.architecture.family import LayerState, Norm
from hat.architecture.layers import AttentionShape, DecoderLayer, EncoderLayer, Layer, Part
from hat.architecture.published import naming_record_lines, read_record
from hat.architecture.shapes import Shapes, attention_macs, cross_attention, linear, norm, self_attention
from hat.arguments import check_count, plain_numbers
from hat.errors import UserError
from hat.files import check_keys, digest

# The defaults of the fields that the published networks lack.
DEFAULTS = {"qkv_dim": None, "self_qkv_dim": None, "cross_qkv_dim": None, "passes": 1}
Kind = TypeVar("Kind", EncoderLayer, DecoderLayer)


@dataclass(frozen=True)
class Encoder(Part):
    """The encoder: width of its residual stream, and its layers from the source upwards."""

    embed_dim: int
    layers: tuple[EncoderLayer, ...]


@dataclass(frozen=True)
class Decoder(Part):
    """The decoder: width of its residual stream, and its layers from the target upwards."""

    embed_dim: int
    layers: tuple[DecoderLayer, ...]


@dataclass(frozen=True)
class Architecture:
    """One SubTransformer of the design space (HAT, section 3.1).

    `qkv_dim` is the total width of queries, keys and values of every attention that has no width of its own;
    a layer's own width becomes None where it is equal, so that equal networks are equal data.
    `embedding_rank`: embeddings and output projection are products of a matrix with so many columns and a
    small one, the factor that leads to the side's width; None: they have no factors, as published. Raises
    UserError where it cannot be built.
    """

    qkv_dim: int
    encoder: Encoder
    decoder: Decoder
    embedding_rank: int | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_count("qkv_dim", self.qkv_dim)
        if self.embedding_rank is not None:
            check_count("embedding_rank", self.embedding_rank)
        for side, part in self._sides():
            check_count(f"{side}.embed_dim", part.embed_dim)
            if not part.layers:
                raise UserError(f"{side}.layers: at least one layer is needed")
            for index, layer in enumerate(part.layers):
                self._check_layer(layer, f"{side}.layers[{index}]")
        for side, part in self._sides():
            plain: Any = tuple(layer.without_width(self.qkv_dim) for layer in part.layers)
            object.__setattr__(self, side, type(part)(part.embed_dim, plain))

    @property
    def encoder_dim(self) -> int:
        """Width of the encoder's residual stream."""
        return self.encoder.embed_dim

    @property
    def decoder_dim(self) -> int:
        """Width of the decoder's residual stream."""
        return self.decoder.embed_dim

    def _sides(self) -> "tuple[tuple[str, Encoder | Decoder], ...]":
        return ("encoder", self.encoder), ("decoder", self.decoder)

    def _check_layer(self, layer: Layer, where: str) -> None:
        try:
            layer.check(self.qkv_dim)
        except UserError as error:
            raise UserError(f"{where}.{error}") from error
        attended = getattr(layer, "encoder_layers_attended", 1)
        if attended > len(self.encoder.layers):
            raise UserError(
                f"{where}.encoder_layers_attended: {attended}, but the encoder has "
                f"{len(self.encoder.layers)} layers"
            )

    @classmethod
    def from_dict(cls, value: object, where: str = "architecture") -> "Architecture":
        """Build from the published schema (nested mappings, as `to_dict` gives). Raises UserError."""
        keys = ("qkv_dim", "encoder", "decoder", "embedding_rank")
        top = check_keys(value, keys, where, optional=keys[3:])
        encoder = _side(EncoderLayer, top["encoder"], f"{where}.encoder")
        decoder = _side(DecoderLayer, top["decoder"], f"{where}.decoder")
        try:
            return cls(top["qkv_dim"], Encoder(*encoder), Decoder(*decoder), top.get("embedding_rank"))
        except UserError as error:
            raise UserError(f"{where}.{error}") from error

    def to_dict(self) -> dict[str, Any]:
        """The published schema: mappings, lists and integers only. Fields that the published networks lack
        are left out where they have their defaults."""
        value = asdict(self)
        if self.embedding_rank is None:
            del value["embedding_rank"]
        for side in ("encoder", "decoder"):
            layers = value[side]["layers"]
            value[side]["layers"] = [
                {k: v for k, v in layer.items() if k not in DEFAULTS or v != DEFAULTS[k]} for layer in layers
            ]
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
        shapes |= _self_attention(name, enc, encoder_layer.self_attention(qkv))
        shapes |= _feed_forward(name, enc, encoder_layer.ffn_dim)
    for index, decoder_layer in enumerate(architecture.decoder.layers):
        name = f"decoder.{index}"
        shapes |= _self_attention(name, dec, decoder_layer.self_attention(qkv))
        if cross := decoder_layer.cross_attention(qkv):
            shapes |= cross_attention(f"{name}.cross_attention", dec, enc, cross.qkv_dim)
            shapes |= norm(f"{name}.cross_attention_norm", dec)
        shapes |= _feed_forward(name, dec, decoder_layer.ffn_dim)
    return shapes if norms == "post" else shapes | norm("encoder_norm", enc) | norm("decoder_norm", dec)


def _self_attention(name: str, dim: int, shape: AttentionShape | None) -> Shapes:
    if shape is None:
        return {}
    attention = self_attention(f"{name}.self_attention", dim, shape.qkv_dim)
    return attention | norm(f"{name}.self_attention_norm", dim)


def _feed_forward(name: str, dim: int, ffn_dim: int) -> Shapes:
    if ffn_dim == 0:
        return {}
    fc1, fc2 = linear(f"{name}.fc1", ffn_dim, dim), linear(f"{name}.fc2", dim, ffn_dim)
    return fc1 | fc2 | norm(f"{name}.ffn_norm", dim)


def transformer_work(architecture: Architecture, length: int) -> int:
    """Multiply-accumulates of one teacher-forced pass by the rules of `cost`."""
    qkv, enc, dec = architecture.qkv_dim, architecture.encoder_dim, architecture.decoder_dim
    macs = length * (enc + 1) + length * (dec + 1)
    macs += length * (architecture.embedding_rank or 0) * (enc + dec)
    for layer in architecture.encoder.layers:
        own = _attention_work(layer.self_attention(qkv), enc, enc, queries=length, keys=length)
        macs += layer.passes * (own + _feed_forward_work(layer.ffn_dim, enc, length))
    for decoder_layer in architecture.decoder.layers:
        keys = length * decoder_layer.encoder_layers_attended
        own = _attention_work(decoder_layer.self_attention(qkv), dec, dec, queries=length, keys=length)
        cross = _attention_work(decoder_layer.cross_attention(qkv), dec, enc, queries=length, keys=keys)
        ffn = _feed_forward_work(decoder_layer.ffn_dim, dec, length)
        macs += decoder_layer.passes * (own + cross + ffn)
        if shape := decoder_layer.cross_attention(qkv):  # its keys and values are the same in all passes
            macs -= (decoder_layer.passes - 1) * 2 * keys * enc * shape.qkv_dim
    return macs


def _attention_work(shape: AttentionShape | None, dim: int, key_dim: int, *, queries: int, keys: int) -> int:
    """An attention with its layer normalization."""
    if shape is None:
        return 0
    return attention_macs(shape.qkv_dim, dim, key_dim, queries=queries, keys=keys) + queries * dim


def _feed_forward_work(ffn_dim: int, dim: int, length: int) -> int:
    """A feed-forward part with its layer normalization."""
    return 2 * length * dim * ffn_dim + length * dim if ffn_dim else 0


def transformer_decoder_states(architecture: Architecture) -> list[LayerState]:
    """A self-attention for each pass of a layer and one attention to the encoder, unless it lacks them."""
    states = []
    for layer in architecture.decoder.layers:
        own = layer.self_attention(architecture.qkv_dim)
        cross = layer.cross_attention(architecture.qkv_dim)
        attended = layer.encoder_layers_attended
        states.append(
            LayerState(
                tuple((name, own.heads, own.head_dim) for name in _pass_names(layer.passes)) if own else (),
                (("cross", cross.heads, cross.head_dim, attended),) if cross else (),
            )
        )
    return states


def _pass_names(passes: int) -> list[str]:
    return ["self", *(f"pass{number}" for number in range(2, passes + 1))]


def transformer_text(architecture: Architecture) -> str:
    """The layers, one a line."""
    encoder, decoder = architecture.encoder, architecture.decoder
    lines = [f"qkv_dim {architecture.qkv_dim}"]
    if architecture.embedding_rank is not None:
        lines.append(f"embedding_rank {architecture.embedding_rank}")
    lines.append(f"encoder, embed_dim {encoder.embed_dim}")
    lines += [f"  {n}: {_encoder_layer_text(layer)}" for n, layer in enumerate(encoder.layers, 1)]
    lines.append(f"decoder, embed_dim {decoder.embed_dim}")
    lines += [f"  {n}: {_decoder_layer_text(layer)}" for n, layer in enumerate(decoder.layers, 1)]
    return "\n".join(lines)


def _encoder_layer_text(layer: EncoderLayer) -> str:
    heads = f"heads {_heads_text(layer, '')}" if layer.heads else "no attention"
    return f"{_ffn_text(layer)}, {heads}{_passes_text(layer)}"


def _decoder_layer_text(layer: DecoderLayer) -> str:
    own = f"heads {_heads_text(layer, 'self_')} self" if layer.self_heads else "no self-attention"
    if not layer.cross_heads:
        return f"{_ffn_text(layer)}, {own}, no attention to the encoder{_passes_text(layer)}"
    cross = f"{'' if layer.self_heads else 'heads '}{_heads_text(layer, 'cross_')} cross"
    attended = f"attends to the last {layer.encoder_layers_attended}"
    return f"{_ffn_text(layer)}, {own}, {cross}, {attended}{_passes_text(layer)}"


def _passes_text(layer: EncoderLayer | DecoderLayer) -> str:
    return f", {layer.passes} passes" if layer.passes > 1 else ""


def _ffn_text(layer: EncoderLayer | DecoderLayer) -> str:
    return f"ffn {layer.ffn_dim}" if layer.ffn_dim else "no ffn"


def _heads_text(layer: EncoderLayer | DecoderLayer, prefix: str) -> str:
    heads, width = getattr(layer, f"{prefix}heads"), getattr(layer, f"{prefix}qkv_dim")
    return f"{heads} (qkv_dim {width})" if width else f"{heads}"


def _side(kind: type[Kind], value: object, where: str) -> tuple[Any, tuple[Kind, ...]]:
    """The width and the layers of one side."""
    side = check_keys(value, ("embed_dim", "layers"), where)
    if not isinstance(side["layers"], list | tuple):
        raise UserError(f"{where}.layers: expected a list of layers")
    layers = (_layer(kind, layer, f"{where}.layers[{index}]") for index, layer in enumerate(side["layers"]))
    return side["embed_dim"], tuple(layers)


def _layer(kind: type[Kind], value: object, where: str) -> Kind:
    optional = [field.name for field in fields(kind) if field.default is not MISSING]
    layer = check_keys(value, [field.name for field in fields(kind)], where, optional)
    for name, number in layer.items():
        check_count(f"{where}.{name}", number, 0)
    return kind(**layer)
