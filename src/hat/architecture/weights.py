"""The names and shapes of a model's weights: the one list that module, artefact and cost agree on."""

from dataclasses import KW_ONLY, dataclass
from typing import Literal

from hat.architecture.families import family_of
from hat.architecture.family import AnyArchitecture, Norm
from hat.architecture.shapes import Shapes
from hat.architecture.transformer import Architecture
from hat.arguments import check_choice, plain_numbers
from hat.errors import UserError

Embeddings = Literal["shared", "separate"]

EMBEDDING_NAMES = ("embedding", "source_embedding", "target_embedding", "output_embedding")
# The factors of embeddings and output projection (`Architecture.embedding_rank`).
FACTOR_NAMES = ("source_factor.weight", "target_factor.weight", "output_factor.weight")


@dataclass(frozen=True)
class ModelConfig:
    """Everything that fixes a network's weights: its architecture, vocabularies, embeddings and norms.

    `embeddings`: "shared" is one matrix for source, target and output (WMT), as wide as the wider
    side and sliced for the other; "separate" is three (IWSLT). `*_super_dim`: the widths of the
    SuperTransformer this model was taken from (0: its own width). They set the frequencies of the
    sinusoidal positions and scale dropout (docs/reference.md, Dropout). `norm`: a Transformer's layers
    normalise after each residual sum ("post", as published) or before each branch ("pre"), and then also
    the outputs of the encoder and the decoder; an Evolved Transformer ignores it.
    """

    architecture: AnyArchitecture
    source_vocab: int
    target_vocab: int
    _: KW_ONLY
    embeddings: Embeddings = "shared"
    encoder_super_dim: int = 0
    decoder_super_dim: int = 0
    norm: Norm = "post"

    def __post_init__(self) -> None:
        plain_numbers(self)
        for side in ("encoder", "decoder"):
            width, name = getattr(self.architecture, f"{side}_dim"), f"{side}_super_dim"
            super_dim = getattr(self, name) or width
            object.__setattr__(self, name, super_dim)
            if super_dim < width:
                raise UserError(f"{name}: {super_dim} is less than the {side}'s embed_dim {width}")
        check_choice("embeddings", self.embeddings, ("shared", "separate"))
        check_choice("norm", self.norm, ("post", "pre"))
        if self.embeddings == "shared" and self.source_vocab != self.target_vocab:
            raise UserError("shared embeddings need one vocabulary for both sides")

    @property
    def embedding_rank(self) -> int | None:
        """`Architecture.embedding_rank`; None for other families."""
        return self.architecture.embedding_rank if isinstance(self.architecture, Architecture) else None

    @property
    def transformer(self) -> Architecture:
        """The architecture, for code that runs Transformers alone. Raises UserError for another family."""
        if not isinstance(self.architecture, Architecture):
            raise UserError(f"for Transformers only; this model is {family_of(self.architecture).title}")
        return self.architecture


def weight_shapes(config: ModelConfig) -> Shapes:
    """Name → shape of every weight. Projections that share an input are stacked along a first axis.

    Every tensor of a SubTransformer is the leading corner of the SuperTransformer's tensor of the
    same name, which is the whole of weight sharing.
    """
    architecture = config.architecture
    return _embedding_shapes(config) | family_of(architecture).shapes(architecture, config.norm)


def _embedding_shapes(config: ModelConfig) -> Shapes:
    """Embeddings and output projection: V × D, or V × r and a factor of r × D or D × r for each use."""
    enc, dec, rank = config.architecture.encoder_dim, config.architecture.decoder_dim, config.embedding_rank
    shapes: Shapes
    if config.embeddings == "shared":
        shapes = {"embedding": (config.source_vocab, rank or max(enc, dec))}
    else:
        shapes = {
            "source_embedding": (config.source_vocab, rank or enc),
            "target_embedding": (config.target_vocab, rank or dec),
            "output_embedding": (config.target_vocab, rank or dec),
        }
    if rank:
        shapes |= dict(zip(FACTOR_NAMES, ((enc, rank), (dec, rank), (rank, dec)), strict=True))
    return shapes
