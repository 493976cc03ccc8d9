"""The architecture of one SubTransformer: frozen, hashable, read from and written to YAML or JSON."""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from hat.architecture.published import naming_record_lines, read_record
from hat.arguments import plain_numbers
from hat.errors import UserError, shown
from hat.files import check_keys, digest


@dataclass(frozen=True)
class EncoderLayer:
    """One encoder layer: width of its feed-forward part, heads of its self-attention."""

    ffn_dim: int
    heads: int

    def __post_init__(self) -> None:
        plain_numbers(self)


@dataclass(frozen=True)
class DecoderLayer:
    """One decoder layer. `encoder_layers_attended` = n: cross-attention sees the last n encoder layers."""

    ffn_dim: int
    self_heads: int
    cross_heads: int
    encoder_layers_attended: int = 1

    def __post_init__(self) -> None:
        plain_numbers(self)


Layer = TypeVar("Layer", EncoderLayer, DecoderLayer)


@dataclass(frozen=True)
class Encoder:
    """The encoder: width of its residual stream, and its layers from the source upwards."""

    embed_dim: int
    layers: tuple[EncoderLayer, ...]

    def __post_init__(self) -> None:
        plain_numbers(self)


@dataclass(frozen=True)
class Decoder:
    """The decoder: width of its residual stream, and its layers from the target upwards."""

    embed_dim: int
    layers: tuple[DecoderLayer, ...]

    def __post_init__(self) -> None:
        plain_numbers(self)


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
        _check_positive(self.qkv_dim, "qkv_dim")
        parts: tuple[tuple[str, Encoder | Decoder], ...] = (
            ("encoder", self.encoder),
            ("decoder", self.decoder),
        )
        for side, part in parts:
            _check_positive(part.embed_dim, f"{side}.embed_dim")
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
            _check_positive(value, f"{where}.{name}")
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
        encoder = check_keys(top["encoder"], ("embed_dim", "layers"), f"{where}.encoder")
        decoder = check_keys(top["decoder"], ("embed_dim", "layers"), f"{where}.decoder")
        try:
            return cls(
                top["qkv_dim"],
                Encoder(
                    encoder["embed_dim"],
                    _layers(EncoderLayer, encoder["layers"], f"{where}.encoder"),
                ),
                Decoder(
                    decoder["embed_dim"],
                    _layers(DecoderLayer, decoder["layers"], f"{where}.decoder"),
                ),
            )
        except UserError as error:
            raise (error if str(error).startswith(where) else UserError(f"{where}.{error}")) from error

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


def _check_positive(value: object, where: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{where}: {shown(value)} is not a positive whole number")


def _layers(kind: type[Layer], values: object, where: str) -> tuple[Layer, ...]:
    if not isinstance(values, list | tuple):
        raise UserError(f"{where}.layers: expected a list of layers")
    names = [field.name for field in fields(kind)]
    optional = [field.name for field in fields(kind) if field.name == "encoder_layers_attended"]
    return tuple(
        kind(**check_keys(value, names, f"{where}.layers[{index}]", optional))
        for index, value in enumerate(values)
    )
