"""A family of networks: the interface of its architectures, and one record of all that HAT knows of it."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from importlib import import_module
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

from hat.architecture.shapes import Shapes
from hat.arguments import check_count, plain_numbers
from hat.errors import UserError, shown
from hat.files import check_keys, digest

Norm = Literal["post", "pre"]


class AnyArchitecture(Protocol):
    """An architecture of any family: a frozen, hashable dataclass of plain data. Raises UserError where it
    cannot be built."""

    @property
    def encoder_dim(self) -> int:
        """Width of the encoder's residual stream."""

    @property
    def decoder_dim(self) -> int:
        """Width of the decoder's residual stream."""

    @property
    def qkv_dim(self) -> int:
        """Total width of the queries, keys and values of every attention without a width of its own."""

    def to_dict(self) -> dict[str, Any]:
        """The architecture as in files: mappings, lists and integers only; `family` names the family, except
        for Transformers. The class reads it with `from_dict(value, where)`."""

    def short_hash(self) -> str:
        """Twelve hexadecimal digits that name this architecture."""


@dataclass(frozen=True)
class PlainArchitecture:
    """An architecture that is a few positive whole numbers, the fields of its subclass, each
    Annotated[int, "its description"], and as wide everywhere. Raises UserError where it cannot be built."""

    family: ClassVar[str]
    embed_dim: Annotated[int, "Width of both residual streams, and of queries, keys and values."]

    @property
    def encoder_dim(self) -> int:
        """Width of both residual streams, and of queries, keys and values."""
        return self.embed_dim

    decoder_dim = qkv_dim = encoder_dim

    def __post_init__(self) -> None:
        plain_numbers(self)
        for name, value in vars(self).items():
            check_count(name, value)

    @classmethod
    def from_dict(cls, value: object, where: str = "architecture") -> Self:
        """Build from a mapping as `to_dict` gives. Raises UserError."""
        optional = [number.name for number in fields(cls) if number.default is not MISSING]
        names = ("family", *(number.name for number in fields(cls)))
        numbers = dict(check_keys(value, names, where, optional))
        if (family := numbers.pop("family")) != cls.family:
            raise UserError(f"{where}.family: {shown(family)} is not {cls.family}")
        try:
            return cls(**numbers)
        except UserError as error:
            raise UserError(f"{where}.{error}") from error

    def to_dict(self) -> dict[str, Any]:
        """A mapping of its family and its fields."""
        return {"family": self.family, **asdict(self)}

    def short_hash(self) -> str:
        """Twelve hexadecimal digits that name this architecture."""
        return digest(self.to_dict())[:12]


@dataclass(frozen=True)
class LayerState:
    """The state of incremental decoding in one decoder layer.

    `self_attentions`: name, heads, and width of a head, of each.
    `cross_attentions`: name, heads, width of a head, and number of attended encoder layers, of each.
    `windows`: name, positions and channels of each causal convolution's past input.
    """

    self_attentions: tuple[tuple[str, int, int], ...]
    cross_attentions: tuple[tuple[str, int, int, int], ...]
    windows: tuple[tuple[str, int, int], ...] = ()


def _keys_and_values(architecture: AnyArchitecture) -> str:
    return "\n".join(f"{key} {value}" for key, value in architecture.to_dict().items())


@dataclass(frozen=True)
class Family:
    """One family of networks. Its functions take one of its architectures; strings name modules or classes
    that need PyTorch or onnx: "module" or "module:class", which `load` imports when they are used.

    `name`: in files and recipes. `title`: in messages, with its article. `architecture`: the class of its
    architectures. `shapes`: weight name → shape without embeddings, given where layers normalise. `work`:
    multiply-accumulates of one teacher-forced pass, given the sentences' length, by the rules of
    `hat.architecture.cost`. `decoder_states`: one for each decoder layer. `network`: the
    `hat.model.TranslationModel`. `static_decoder`: runs its steps over preallocated buffers, which a GPU can
    replay. `exporters`: format → module; for "onnx" with the classes `EncoderGraph` and `DecoderGraph` of
    an artefact. `norms`: the values of `ModelConfig.norm` that it can have. `describe`: the text of
    `hat zoo show`.
    """

    name: str
    title: str
    architecture: type[Any]
    shapes: Callable[[Any, Norm], Shapes]
    work: Callable[[Any, int], int]
    decoder_states: Callable[[Any], list[LayerState]]
    network: str
    static_decoder: str | None = None
    exporters: Mapping[str, str] = field(default_factory=dict)
    norms: tuple[Norm, ...] = ("post",)
    describe: Callable[[Any], str] = _keys_and_values


def load(name: str) -> Any:
    """The object that a "module:name" string of a `Family` names, or the module that "module" names."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute) if attribute else import_module(module)
