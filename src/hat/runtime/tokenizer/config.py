"""The kind of a model's tokenizer, as the artefact's configuration states it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from hat.arguments import check_choice
from hat.errors import UserError, shown
from hat.files import check_keys, record_from

MOSES_DASH = "@-@"  # Moses' token between the parts of a compound
SPACE = "▁"  # SentencePiece's mark of a word's beginning
SENTENCEPIECE, MOSES_BPE = "sentencepiece", "moses-bpe"
KINDS = (SENTENCEPIECE, MOSES_BPE)


@dataclass(frozen=True)
class MosesOptions:
    """The preparation of the training text by Moses; text to translate is prepared in the same way.

    `normalise`: punctuation is unified first. `dash`: the token that stands between the parts of a
    compound (aggressive dash splitting: "@-@", or "##AT##-##AT##" as in the published WMT'14 En-De
    text); empty where compounds stay whole. `lowercase`: as in the published IWSLT'14 text.
    """

    source_language: str = "en"
    target_language: str = "en"
    normalise: bool = True
    dash: str = MOSES_DASH
    lowercase: bool = False

    def __post_init__(self) -> None:
        """Raises UserError naming the field."""
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not type(field.default):
                raise UserError(f"{field.name}: {shown(value)} is not like {field.default!r}")


@dataclass(frozen=True)
class TokenizerConfig:
    """`kind`: one of KINDS. `joint`: True for one vocabulary of both languages, False for one each.
    `moses`: only with the kind "moses-bpe"."""

    kind: str = SENTENCEPIECE
    joint: bool = True
    moses: MosesOptions | None = None

    @classmethod
    def from_dict(cls, value: object, where: str) -> "TokenizerConfig":
        """The configuration from JSON data, read strictly. Raises UserError naming `where` and the key."""
        keys = check_keys(value, ("kind", "joint", "moses"), where, optional=("moses",))
        check_choice(f"{where}.kind", keys["kind"], KINDS)
        if not isinstance(keys["joint"], bool):
            raise UserError(f"{where}.joint: {shown(keys['joint'])} is not true or false")
        if ("moses" in keys) != (keys["kind"] == MOSES_BPE):
            raise UserError(f"{where}.moses: belongs to the kind {MOSES_BPE}, and to no other")
        moses = record_from(MosesOptions, keys["moses"], f"{where}.moses") if "moses" in keys else None
        return cls(keys["kind"], keys["joint"], moses)

    def to_dict(self) -> Mapping[str, Any]:
        """JSON data for `from_dict`."""
        moses = {"moses": asdict(self.moses)} if self.moses else {}
        return {"kind": self.kind, "joint": self.joint, **moses}

    def file_names(self) -> tuple[str, ...]:
        """The files of the tokenizer's folder: one for each language, source first, then the shared ones."""
        sides = ("joint",) if self.joint else ("source", "target")
        if self.kind == MOSES_BPE:
            return (*(f"{side}.dict.txt" for side in sides), "codes.bpe")
        return tuple(f"{side}.model" for side in sides)
