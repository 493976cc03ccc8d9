"""The families of networks that HAT runs: Transformers, and the Evolved Transformer to compare with."""

from pathlib import Path

from hat.architecture.architecture import Architecture
from hat.architecture.evolved import FAMILY, EvolvedArchitecture
from hat.architecture.published import naming_record_lines, read_record
from hat.errors import UserError, shown

AnyArchitecture = Architecture | EvolvedArchitecture
FAMILY_NAMES: dict[type, str] = {Architecture: "Transformer", EvolvedArchitecture: "Evolved Transformer"}


def architecture_from_dict(value: object, where: str = "architecture") -> AnyArchitecture:
    """An architecture of the family that `family` names; a Transformer's has no such key.

    Raises UserError.
    """
    if not isinstance(value, dict) or "family" not in value:
        return Architecture.from_dict(value, where)
    if value["family"] != FAMILY:
        raise UserError(
            f"{where}.family: {shown(value['family'])}; the one choice is {FAMILY}, and a Transformer's "
            "architecture has no such key"
        )
    return EvolvedArchitecture.from_dict(value, where)


def load_architecture(path: Path) -> AnyArchitecture:
    """Read an architecture of any family from a file, as `Architecture.load` does."""
    record = read_record(path)
    with naming_record_lines(path):
        return architecture_from_dict(record, f"{path}: architecture")
