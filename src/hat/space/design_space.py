"""The design space of SubTransformers (HAT, section 3.1): its choices, samples, mutations and size."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import islice, product
from typing import Any

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer
from hat.errors import UserError, shown
from hat.files import check_keys

Genes = tuple[int, ...]
Choices = tuple[int, ...]

# The gene of a layer, or of a property of an attention, that an architecture does not have; less than any
# choice.
MISSING = -1
# The gene of embeddings without factors, which are no choice of a space with ranks.
NO_RANK = 0
# Properties of each layer, and those with which a space may go beyond the published ones.
ENCODER = ("encoder_ffn_dim", "encoder_heads")
DECODER = ("decoder_ffn_dim", "decoder_self_heads", "decoder_cross_heads", "encoder_layers_attended")
OPTIONAL = (
    *("encoder_qkv_dim", "decoder_self_qkv_dim", "decoder_cross_qkv_dim"),
    *("encoder_passes", "decoder_passes", "embedding_rank"),
)
ATTENTIONS = ("encoder_", "decoder_self_", "decoder_cross_")  # prefixes of their properties
# A choice of 0 stands for layers without that part.
MAY_BE_ABSENT = {*ENCODER, *DECODER[:-1]}
# Property of an attention → heads of the attention. Without heads there is no attention to have it.
NEEDS = {
    "encoder_qkv_dim": "encoder_heads",
    "decoder_self_qkv_dim": "decoder_self_heads",
    "decoder_cross_qkv_dim": "decoder_cross_heads",
    "encoder_layers_attended": "decoder_cross_heads",
}


@dataclass(frozen=True)
class DesignSpace:
    """The choices of every elastic dimension. Layers of one side share their choices.

    A choice of 0 heads or of an `ffn_dim` of 0 stands for layers without that part. The widths of the single
    attentions are optional: without choices of their own they are the architecture's `qkv_dim`. So are the
    passes of layers: without choices there is one. So is `embedding_rank`: without choices embeddings have no
    factors.
    `encoder_layers_attended` counts from the top (1 = the last encoder layer); a choice above the depth of an
    architecture's encoder means the whole encoder. The order of choices fixes what a seed samples. Raises
    UserError where some combination cannot be built.
    """

    encoder_embed_dim: Choices
    decoder_embed_dim: Choices
    encoder_layers: Choices
    decoder_layers: Choices
    encoder_ffn_dim: Choices
    encoder_heads: Choices
    decoder_ffn_dim: Choices
    decoder_self_heads: Choices
    decoder_cross_heads: Choices
    encoder_layers_attended: Choices
    qkv_dim: Choices
    encoder_qkv_dim: Choices = ()
    decoder_self_qkv_dim: Choices = ()
    decoder_cross_qkv_dim: Choices = ()
    encoder_passes: Choices = ()
    decoder_passes: Choices = ()
    embedding_rank: Choices = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name not in OPTIONAL or self._choices(field.name):
                _check_choices(field.name, self._choices(field.name))
        for side in ATTENTIONS:
            self._check_heads(f"{side}heads", f"{side}qkv_dim")
        if len(self.qkv_dim) > 1 and all(self._choices(f"{side}qkv_dim") for side in ATTENTIONS):
            raise UserError(
                f"qkv_dim: {list(self.qkv_dim)}: every attention has choices of its own; give one for files"
            )
        if not any(self.decoder_cross_heads):
            raise UserError("decoder_cross_heads: [0]: no decoder layer would see the source")
        if max(self.encoder_layers_attended) > max(self.encoder_layers):
            raise UserError(
                f"encoder_layers_attended: {list(self.encoder_layers_attended)} attends to more "
                f"layers than the largest encoder has (encoder_layers: {list(self.encoder_layers)})"
            )

    @classmethod
    def from_dict(cls, value: object, where: str = "space") -> "DesignSpace":
        """Build from a mapping of lists, as `to_dict` gives. Raises UserError naming the key."""
        mapping = check_keys(value, [field.name for field in fields(cls)], where, OPTIONAL)
        for key, choices in mapping.items():
            if not isinstance(choices, list | tuple):
                raise UserError(f"{where}.{key}: {shown(choices)} is not a list of choices")
        try:
            for key, choices in mapping.items():
                _check_choices(key, choices)
            return cls(**{key: tuple(choices) for key, choices in mapping.items()})
        except UserError as error:
            raise UserError(f"{where}.{error}") from error

    def to_dict(self) -> dict[str, list[int]]:
        """Field name → list of choices; optional fields only where they have choices."""
        return {key: list(choices) for key, choices in asdict(self).items() if choices}

    def sample(self, rng: random.Random) -> Architecture:
        """Draw every choice uniformly, in the published order (docs/reference.md, Sampling).

        A seed gives the published configuration of that seed: attention spans are drawn for every layer of
        the deepest decoder, `qkv_dim` costs a draw only where it is elastic, and optional properties come
        last.
        """

        def draw(names: Sequence[str]) -> list[int]:
            return [rng.choice(self._choices(name)) for name in names]

        encoder_dim, decoder_dim, encoder_depth, decoder_depth = draw(
            ("encoder_embed_dim", "decoder_embed_dim", "encoder_layers", "decoder_layers")
        )
        encoder = [draw(ENCODER) for _ in range(encoder_depth)]
        sizes = [draw(DECODER[:-1]) for _ in range(decoder_depth)]
        attended = draw(DECODER[-1:] * max(self.decoder_layers))
        decoder = [[*genes, layers] for genes, layers in zip(sizes, attended, strict=False)]
        qkv_dim = rng.choice(self.qkv_dim) if len(self.qkv_dim) > 1 else self.qkv_dim[0]
        for layers, known, names in (
            (encoder, ENCODER, self._encoder_genes),
            (decoder, DECODER, self._decoder_genes),
        ):
            for genes in layers:
                genes.extend(draw(names[len(known) :]))
        rank = rng.choice(self._ranks) if len(self._ranks) > 1 else self._ranks[0]
        return self._architecture((encoder_dim, decoder_dim, qkv_dim), encoder, decoder, rank)

    def mutate(self, architecture: Architecture, rng: random.Random, probability: float) -> Architecture:
        """Draw each gene anew with `probability` (HAT, section 3.3), and all genes of a new layer."""
        return self.decode(
            [
                rng.choice(choices) if gene == MISSING or rng.random() < probability else gene
                for gene, choices in zip(self.encode(architecture), self._gene_choices, strict=True)
            ]
        )

    def crossover(self, one: Architecture, other: Architecture, rng: random.Random) -> Architecture:
        """Take each gene from either parent with equal probability; those of a layer or an attention that
        only one has, from that one."""
        return self.decode(
            [
                rng.choice(pair) if MISSING not in pair else max(pair)
                for pair in zip(self.encode(one), self.encode(other), strict=True)
            ]
        )

    def encode(self, architecture: Architecture) -> Genes:
        """The genes: encoder and decoder embed_dim, encoder and decoder depth, qkv_dim; of every
        encoder layer ffn_dim and heads; of every decoder layer ffn_dim, self_heads, cross_heads and
        encoder_layers_attended; of every layer also the widths of its attentions and the passes, and last
        embedding_rank, for which the space has choices. Every gene is one of its choices, or MISSING in
        layers beyond the depth and in attentions that a layer lacks. Raises UserError for an architecture
        outside the space.
        """
        genes = self._genes(architecture)
        if not self._valid(genes) or self.decode(genes) != architecture:
            raise UserError(f"architecture {architecture.short_hash()} is not in the design space")
        return genes

    def decode(self, genes: Sequence[int]) -> Architecture:
        """The architecture of genes as `encode` gives; genes of missing layers and attentions are ignored."""
        encoder_dim, decoder_dim, encoder_depth, decoder_depth, qkv_dim = genes[:5]
        rest = iter(genes[5:])
        encoder = [tuple(islice(rest, len(self._encoder_genes))) for _ in range(max(self.encoder_layers))]
        decoder = [tuple(islice(rest, len(self._decoder_genes))) for _ in range(max(self.decoder_layers))]
        return self._architecture(
            (encoder_dim, decoder_dim, qkv_dim),
            encoder[:encoder_depth],
            decoder[:decoder_depth],
            genes[-1] if self.embedding_rank else None,
        )

    @property
    def gene_choices(self) -> tuple[Choices, ...]:
        """The choices of every gene, in the order of `encode`."""
        return self._gene_choices

    def __contains__(self, architecture: Architecture) -> bool:
        genes = self._genes(architecture)
        return self._valid(genes) and self.decode(genes) == architecture

    def size(self) -> int:
        """The exact number of distinct architectures in the space."""
        dims = len(self.encoder_embed_dim) * len(self.decoder_embed_dim) * len(self.qkv_dim)
        dims *= len(self._ranks)
        encoder_layer = (
            len(self.encoder_ffn_dim) * self._attentions("encoder_") * (len(self.encoder_passes) or 1)
        )
        own = len(self.decoder_ffn_dim) * self._attentions("decoder_self_") * (len(self.decoder_passes) or 1)
        total = 0
        for encoder_depth in self.encoder_layers:
            decoder_layer = own * self._attentions(
                "decoder_cross_", spans=len(self._reachable(encoder_depth))
            )
            decoders = sum(decoder_layer**depth for depth in self.decoder_layers)
            total += dims * encoder_layer**encoder_depth * decoders
        return total

    def enumerate(self) -> Iterator[Architecture]:
        """Every architecture of the space once. Only for tiny spaces: see `size`."""
        for depth, decoder_depth in product(self.encoder_layers, self.decoder_layers):
            encoder_genes = product(*map(self._choices, self._encoder_genes))
            encoder_layers = dict.fromkeys(map(self._encoder_layer, encoder_genes))
            choices = {name: self._choices(name) for name in self._decoder_genes}
            choices["encoder_layers_attended"] = self._reachable(depth)
            decoder_genes = product(*choices.values())
            decoder_layers = dict.fromkeys(self._decoder_layer(genes, depth) for genes in decoder_genes)
            for rank, qkv_dim, encoder_dim, decoder_dim, encoder, decoder in product(
                self._ranks,
                self.qkv_dim,
                self.encoder_embed_dim,
                self.decoder_embed_dim,
                product(encoder_layers, repeat=depth),
                product(decoder_layers, repeat=decoder_depth),
            ):
                yield Architecture(
                    qkv_dim, Encoder(encoder_dim, encoder), Decoder(decoder_dim, decoder), rank
                )

    def largest(self) -> Architecture:
        """The largest choice of everything: the SuperTransformer's own architecture."""
        return self._extreme(max)

    def smallest(self) -> Architecture:
        """The smallest choice of everything."""
        return self._extreme(min)

    def neighbours(self, architecture: Architecture) -> Iterator[Architecture]:
        """The architectures one gene away. A layer that appears repeats the one below it; an attention that
        appears has the properties of the one below it, or the first choices."""
        genes = self.encode(architecture)
        start, split = 5, 5 + len(self._encoder_genes) * max(self.encoder_layers)
        full = list(genes)
        for index in range(start, len(full)):
            if full[index] == MISSING:
                side, period = (start, self._encoder_genes) if index < split else (split, self._decoder_genes)
                first = index < side + len(period)
                full[index] = self._gene_choices[index][0] if first else full[index - len(period)]
        for index, choices in enumerate(self._gene_choices):
            for choice in choices:
                if genes[index] not in (MISSING, choice):
                    yield self.decode([*full[:index], choice, *full[index + 1 :]])

    def _check_heads(self, heads: str, width: str) -> None:
        """Raises UserError where a choice of heads does not divide a choice of the attention's width."""
        width = width if self._choices(width) else "qkv_dim"
        for count, qkv_dim in product(self._choices(heads), self._choices(width)):
            if count and qkv_dim % count:
                choices = list(self._choices(heads))
                raise UserError(f"{heads}: {count} heads (of {choices}) do not divide {width} {qkv_dim}")

    def _choices(self, name: str) -> Choices:
        choices: Choices = getattr(self, name)
        return choices

    def _attentions(self, side: str, spans: int = 1) -> int:
        """The number of different attentions that a layer can have there; of one it lacks there is one
        kind."""
        heads, widths = self._choices(f"{side}heads"), self._choices(f"{side}qkv_dim")
        return sum(map(bool, heads)) * (len(widths) or 1) * spans + (0 in heads)

    def _extreme(self, pick: Callable[[Choices], int]) -> Architecture:
        return self.decode([pick(choices) for choices in self._gene_choices])

    def _reachable(self, encoder_depth: int) -> Choices:
        """The values of `encoder_layers_attended` that an encoder of this depth allows."""
        return tuple(dict.fromkeys(min(n, encoder_depth) for n in self.encoder_layers_attended))

    @cached_property
    def _encoder_genes(self) -> tuple[str, ...]:
        """The names of an encoder layer's genes."""
        return (*ENCODER, *(name for name in OPTIONAL if name.startswith("encoder") and self._choices(name)))

    @cached_property
    def _decoder_genes(self) -> tuple[str, ...]:
        """The names of a decoder layer's genes."""
        return (*DECODER, *(name for name in OPTIONAL if name.startswith("decoder") and self._choices(name)))

    @property
    def _ranks(self) -> tuple[int | None, ...]:
        """The values of an architecture's `embedding_rank`."""
        return self.embedding_rank or (None,)

    @cached_property
    def _gene_choices(self) -> tuple[Choices, ...]:
        names = ["encoder_embed_dim", "decoder_embed_dim", "encoder_layers", "decoder_layers", "qkv_dim"]
        names += self._encoder_genes * max(self.encoder_layers)
        names += self._decoder_genes * max(self.decoder_layers)
        names += ["embedding_rank"] if self.embedding_rank else []
        return tuple(map(self._choices, names))

    def _architecture(
        self,
        widths: Genes,
        encoder: Sequence[Sequence[int]],
        decoder: Sequence[Sequence[int]],
        rank: int | None,
    ) -> Architecture:
        """From encoder and decoder embed_dim and qkv_dim, the genes of each layer, and embedding_rank."""
        encoder_dim, decoder_dim, qkv_dim = widths
        encoder_layers = tuple(map(self._encoder_layer, encoder))
        decoder_layers = tuple(self._decoder_layer(genes, len(encoder)) for genes in decoder)
        return Architecture(
            qkv_dim, Encoder(encoder_dim, encoder_layers), Decoder(decoder_dim, decoder_layers), rank
        )

    def _encoder_layer(self, genes: Sequence[int]) -> EncoderLayer:
        present = _present(dict(zip(self._encoder_genes, genes, strict=True)))
        return EncoderLayer(**{name.removeprefix("encoder_"): gene for name, gene in present.items()})

    def _decoder_layer(self, genes: Sequence[int], encoder_depth: int) -> DecoderLayer:
        present = _present(dict(zip(self._decoder_genes, genes, strict=True)))
        if (attended := present.get("encoder_layers_attended")) is not None:
            present["encoder_layers_attended"] = min(attended, encoder_depth)
        return DecoderLayer(**{name.removeprefix("decoder_"): gene for name, gene in present.items()})

    def _genes(self, architecture: Architecture) -> Genes:
        encoder, decoder = architecture.encoder, architecture.decoder
        genes = [encoder.embed_dim, decoder.embed_dim]
        genes += [len(encoder.layers), len(decoder.layers), architecture.qkv_dim]
        for layer in encoder.layers:
            genes += self._layer_genes(layer, architecture.qkv_dim, "encoder_", self._encoder_genes)
        genes += [MISSING] * len(self._encoder_genes) * (max(self.encoder_layers) - len(encoder.layers))
        for row in decoder.layers:
            genes += self._layer_genes(row, architecture.qkv_dim, "decoder_", self._decoder_genes)
        genes += [MISSING] * len(self._decoder_genes) * (max(self.decoder_layers) - len(decoder.layers))
        if self.embedding_rank:
            genes.append(architecture.embedding_rank or NO_RANK)
        return tuple(genes)

    def _layer_genes(
        self, layer: EncoderLayer | DecoderLayer, qkv_dim: int, side: str, names: Sequence[str]
    ) -> list[int]:
        genes = {name: getattr(layer, name.removeprefix(side)) for name in names}
        for name in names:
            if (heads := NEEDS.get(name)) and not genes[heads]:
                genes[name] = MISSING
            elif name == "encoder_layers_attended":
                genes[name] = self._attended_choice(genes[name])
            elif genes[name] is None:
                genes[name] = qkv_dim
        return list(genes.values())

    def _attended_choice(self, attended: int) -> int:
        """The smallest choice that gives `attended`, which a shallow encoder may have cut short."""
        return min((n for n in self.encoder_layers_attended if n >= attended), default=attended)

    def _valid(self, genes: Genes) -> bool:
        return len(genes) == len(self._gene_choices) and all(
            gene == MISSING or gene in choices
            for gene, choices in zip(genes, self._gene_choices, strict=True)
        )


def _present(genes: dict[str, int]) -> dict[str, int]:
    """The genes without the properties of attentions that have no heads."""
    return {name: gene for name, gene in genes.items() if name not in NEEDS or genes[NEEDS[name]]}


def _check_choices(name: str, choices: Any) -> None:
    if not choices:
        raise UserError(f"{name}: no choices; at least one is needed")
    least, expected = (
        (0, "whole number of at least 0") if name in MAY_BE_ABSENT else (1, "positive whole number")
    )
    for choice in choices:
        if not isinstance(choice, int) or isinstance(choice, bool) or choice < least:
            raise UserError(f"{name}: {shown(choice)} in {shown(list(choices))} is not a {expected}")
    if len(set(choices)) < len(choices):
        raise UserError(f"{name}: {shown(list(choices))} holds a choice twice")
