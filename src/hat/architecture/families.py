"""The registry of network families. docs/add/family.md says how to add one."""

from pathlib import Path

from hat.architecture.evolved import EvolvedArchitecture, evolved_decoder_states, evolved_shapes, evolved_work
from hat.architecture.family import AnyArchitecture, Family, LayerState
from hat.architecture.published import naming_record_lines, read_record
from hat.architecture.transformer import (
    Architecture,
    transformer_decoder_states,
    transformer_shapes,
    transformer_text,
    transformer_work,
)
from hat.errors import UserError, shown

TRANSFORMER = Family(
    "transformer",
    "a Transformer",
    architecture=Architecture,
    shapes=transformer_shapes,
    work=transformer_work,
    decoder_states=transformer_decoder_states,
    network="hat.model.transformer:Transformer",
    static_decoder="hat.model.static_decode:StaticDecoder",
    exporters={"onnx": "hat.runtime.onnx.transformer"},
    norms=("post", "pre"),
    describe=transformer_text,
)
EVOLVED = Family(
    "evolved",
    "an Evolved Transformer",
    architecture=EvolvedArchitecture,
    shapes=evolved_shapes,
    work=evolved_work,
    decoder_states=evolved_decoder_states,
    network="hat.model.evolved:EvolvedTransformer",
    exporters={"onnx": "hat.runtime.onnx.evolved"},
)
FAMILIES = {family.name: family for family in (TRANSFORMER, EVOLVED)}


def family_of(architecture: AnyArchitecture) -> Family:
    """The family of an architecture."""
    return next(family for family in FAMILIES.values() if type(architecture) is family.architecture)


def decoder_states(architecture: AnyArchitecture) -> list[LayerState]:
    """The states of an architecture's decoder layers."""
    return family_of(architecture).decoder_states(architecture)


def architecture_from_dict(value: object, where: str = "architecture") -> AnyArchitecture:
    """An architecture of the family that the key `family` names, or a Transformer's, which has no such key.

    Raises UserError.
    """
    if not isinstance(value, dict) or "family" not in value:
        return Architecture.from_dict(value, where)
    named = [name for name in FAMILIES if name != TRANSFORMER.name]
    if value["family"] not in named:
        choices = "the one choice is" if len(named) == 1 else "the choices are"
        raise UserError(
            f"{where}.family: {shown(value['family'])}; {choices} {', '.join(named)}, and a Transformer's "
            "architecture has no such key"
        )
    architecture: AnyArchitecture = FAMILIES[value["family"]].architecture.from_dict(value, where)
    return architecture


def load_architecture(path: Path) -> AnyArchitecture:
    """Read an architecture of any family from a file, as `Architecture.load` does. Raises UserError."""
    record = read_record(path)
    with naming_record_lines(path):
        return architecture_from_dict(record, f"{path}: architecture")
