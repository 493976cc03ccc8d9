"""The baselines section of a recipe: models trained from scratch, to compare with."""

from dataclasses import MISSING, fields
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_type_hints

from pydantic import ConfigDict, Discriminator, Field, Tag, create_model, field_validator, model_validator

from hat.architecture import (
    FAMILIES,
    TRANSFORMER,
    AnyArchitecture,
    Architecture,
    Decoder,
    DecoderLayer,
    Encoder,
    EncoderLayer,
    Family,
)
from hat.errors import UserError
from hat.recipe.names import check_name
from hat.sections import Section
from hat.training.settings import TrainingSettings


def kind_of(value: Any) -> Any:
    """The family that a baseline's `kind` names, in a recipe's text or as a section."""
    if isinstance(value, dict):
        return value.get("kind", "transformer")
    return getattr(value, "kind", "transformer")


class AnyBaseline(Section):
    """A model of any family, trained from scratch to compare with."""

    name: str
    """Its name in tables and folders."""
    training: TrainingSettings | None = None
    """Its training; settings that are left out here are as in `baseline_training`."""
    kind: str
    """The family of networks."""

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


class Baseline(AnyBaseline):
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


class _FamilyBaseline(AnyBaseline):
    """A network of another family: its keys are the fields of the family's architecture.

    Where the device's engine does not run the family, it is timed and scored with onnxruntime or torch; the
    report says so.
    """

    model_config = ConfigDict(use_attribute_docstrings=False)  # made by `_section`, they have no source

    def architecture(self) -> AnyArchitecture:
        family = FAMILIES[self.kind]
        numbers = {field.name: getattr(self, field.name) for field in fields(family.architecture)}
        architecture: AnyArchitecture = family.architecture(**numbers)
        return architecture


def _section(family: Family) -> type[AnyBaseline]:
    """The section of baselines of a family, made from the fields of its architecture and what describes
    them."""
    described = get_type_hints(family.architecture, include_extras=True)
    keys: dict[str, Any] = {"kind": (Literal[family.name], ...)}
    for field in fields(family.architecture):
        about = "".join(described[field.name].__metadata__)
        default = ... if field.default is MISSING else field.default
        keys[field.name] = (int, Field(default, gt=0, description=about))
    return create_model(f"{family.name.capitalize()}Baseline", __base__=_FamilyBaseline, **keys)


# Kind → section.
BASELINES: dict[str, type[AnyBaseline]] = {
    family.name: Baseline if family is TRANSFORMER else _section(family) for family in FAMILIES.values()
}
if TYPE_CHECKING:
    BaselineSection = AnyBaseline
else:
    # pydantic reads a union that no type checker can.
    tagged = (Annotated[section, Tag(kind)] for kind, section in BASELINES.items())
    BaselineSection = Annotated[reduce(or_, tagged), Discriminator(kind_of)]
