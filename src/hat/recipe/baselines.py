"""The baselines section of a recipe: models trained from scratch, to compare with."""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from hat.architecture import (
    AnyArchitecture,
    Architecture,
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    EvolvedArchitecture,
)
from hat.errors import UserError
from hat.recipe.data import Section, check_name
from hat.training.settings import TrainingSettings


def kind_of(value: Any) -> Any:
    """The family that a baseline's `kind` names, in a recipe's text or as a section."""
    if isinstance(value, dict):
        return value.get("kind", "transformer")
    return getattr(value, "kind", "transformer")


class _AnyBaseline(Section):
    """What baselines of all families have."""

    name: str
    """Its name in tables and folders."""
    training: TrainingSettings | None = None
    """Its own training; what a recipe leaves out here is as in `baseline_training`."""

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        return check_name(value)

    @model_validator(mode="after")
    def _check_architecture(self) -> Self:
        try:
            self.architecture()
        except UserError as error:
            raise ValueError(str(error)) from error
        return self

    def architecture(self) -> AnyArchitecture:
        """The architecture these numbers describe. Raises UserError where there is none."""
        raise NotImplementedError


class Baseline(_AnyBaseline):
    """A homogeneous Transformer trained from scratch, to compare with."""

    kind: Literal["transformer"] = "transformer"
    """The family of networks."""
    encoder_layers: int = Field(gt=0)
    """Encoder layers."""
    decoder_layers: int = Field(gt=0)
    """Decoder layers."""
    embed_dim: int = Field(gt=0)
    """Width of both residual streams."""
    ffn_dim: int = Field(gt=0)
    """Width of the feed-forward parts."""
    heads: int = Field(gt=0)
    """Heads of every attention."""
    qkv_dim: int | None = Field(default=None, gt=0)
    """Total width of queries, keys and values; the embedding's, unless given."""

    def architecture(self) -> Architecture:
        encoder = EncoderLayer(self.ffn_dim, self.heads)
        decoder = DecoderLayer(self.ffn_dim, self.heads, self.heads)
        return Architecture(
            self.qkv_dim or self.embed_dim,
            Encoder(self.embed_dim, (encoder,) * self.encoder_layers),
            Decoder(self.embed_dim, (decoder,) * self.decoder_layers),
        )


class EvolvedBaseline(_AnyBaseline):
    """An Evolved Transformer (So et al., 2019) trained from scratch, to compare with.

    Where the device's engine is the native one, which does not run it, it is timed and scored with
    onnxruntime or, where that is not installed, with torch; the report says so.
    """

    kind: Literal["evolved"]
    """The family of networks."""
    embed_dim: int = Field(gt=0)
    """Width of both residual streams; the published sizes are 512 and 1024. All other widths follow."""
    heads: int = Field(gt=0)
    """Heads of every attention but the decoder's first, which has twice as many (up to 16)."""
    encoder_cells: int = Field(default=3, gt=0)
    """Encoder cells, each about as deep as two Transformer layers."""
    decoder_cells: int = Field(default=4, gt=0)
    """Decoder cells."""

    def architecture(self) -> EvolvedArchitecture:
        return EvolvedArchitecture(self.embed_dim, self.heads, self.encoder_cells, self.decoder_cells)


BASELINES: dict[str, type[Baseline] | type[EvolvedBaseline]] = {
    "transformer": Baseline,
    "evolved": EvolvedBaseline,
}
