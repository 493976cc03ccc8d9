"""The design space of SubTransformers (HAT, section 3.1): its choices, samples, mutations and size."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import product
from typing import Any

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer
from hat.errors import UserError, shown
from hat.files import check_keys

Genes = tuple[int, ...]
Choices = tuple[int, ...]

# The gene of a layer that an architecture does not have; no real choice is 0.
MISSING = 0


@dataclass(frozen=True)
class DesignSpace:
    """The choices of every elastic dimension. Layers of one side share their choices.

    `encoder_layers_attended` counts from the top (1 = the last encoder layer); a choice above the
    depth of an architecture's encoder means the whole encoder. The order of choices fixes what a
    seed samples. Raises UserError where some combination cannot be built.
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

    def __post_init__(self) -> None:
        for field in fields(self):
            _check_choices(field.name, getattr(self, field.name))
        for name in ("encoder_heads", "decoder_self_heads", "decoder_cross_heads"):
            for heads, qkv_dim in product(getattr(self, name), self.qkv_dim):
                if qkv_dim % heads:
                    choices = list(getattr(self, name))
                    raise UserError(f"{name}: {heads} heads (of {choices}) do not divide qkv_dim {qkv_dim}")
        if max(self.encoder_layers_attended) > max(self.encoder_layers):
            raise UserError(
                f"encoder_layers_attended: {list(self.encoder_layers_attended)} attends to more "
                f"layers than the largest encoder has (encoder_layers: {list(self.encoder_layers)})"
            )

    @classmethod
    def from_dict(cls, value: object, where: str = "space") -> "DesignSpace":
        """Build from a mapping of lists, as `to_dict` gives. Raises UserError naming the key."""
        known = [field.name for field in fields(cls)]
        mapping = check_keys(value, known, where)
        for key in known:
            if not isinstance(mapping[key], list | tuple):
                raise UserError(f"{where}.{key}: {shown(mapping[key])} is not a list of choices")
        try:
            return cls(**{key: tuple(mapping[key]) for key in known})
        except UserError as error:
            raise UserError(f"{where}.{error}") from error

    def to_dict(self) -> dict[str, list[int]]:
        """Field name → list of choices."""
        return {key: list(choices) for key, choices in asdict(self).items()}

    def sample(self, rng: random.Random) -> Architecture:
        """Draw every choice uniformly, in the published order (docs/reference.md, Sampling).

        A seed gives the published configuration of that seed: attention spans are drawn for every
        layer of the deepest decoder, and `qkv_dim` costs a draw only where it is elastic.
        """
        encoder_dim = rng.choice(self.encoder_embed_dim)
        decoder_dim = rng.choice(self.decoder_embed_dim)
        encoder_depth = rng.choice(self.encoder_layers)
        decoder_depth = rng.choice(self.decoder_layers)
        encoder = [
            EncoderLayer(rng.choice(self.encoder_ffn_dim), rng.choice(self.encoder_heads))
            for _ in range(encoder_depth)
        ]
        genes = (self.decoder_ffn_dim, self.decoder_self_heads, self.decoder_cross_heads)
        sizes = [[rng.choice(choices) for choices in genes] for _ in range(decoder_depth)]
        attended = [rng.choice(self.encoder_layers_attended) for _ in range(max(self.decoder_layers))]
        decoder = [
            DecoderLayer(ffn_dim, self_heads, cross_heads, min(layers, encoder_depth))
            for (ffn_dim, self_heads, cross_heads), layers in zip(sizes, attended, strict=False)
        ]
        qkv_dim = rng.choice(self.qkv_dim) if len(self.qkv_dim) > 1 else self.qkv_dim[0]
        return Architecture(
            qkv_dim, Encoder(encoder_dim, tuple(encoder)), Decoder(decoder_dim, tuple(decoder))
        )

    def mutate(self, architecture: Architecture, rng: random.Random, probability: float) -> Architecture:
        """Draw each gene anew with `probability` (HAT, section 3.3), and all genes of a new layer."""
        return self.decode(
            [
                rng.choice(choices) if gene == MISSING or rng.random() < probability else gene
                for gene, choices in zip(self.encode(architecture), self._gene_choices, strict=True)
            ]
        )

    def crossover(self, one: Architecture, other: Architecture, rng: random.Random) -> Architecture:
        """Take each gene from either parent with equal probability; those of a layer that only one has, from
        that one."""
        return self.decode(
            [
                rng.choice(pair) if MISSING not in pair else max(pair)
                for pair in zip(self.encode(one), self.encode(other), strict=True)
            ]
        )

    def encode(self, architecture: Architecture) -> Genes:
        """The genes: encoder and decoder embed_dim, encoder and decoder depth, qkv_dim; of every
        encoder layer ffn_dim and heads; of every decoder layer ffn_dim, self_heads, cross_heads and
        encoder_layers_attended. Every gene is one of its choices, or MISSING in layers beyond the
        depth. Raises UserError for an architecture outside the space.
        """
        genes = self._genes(architecture)
        if not self._valid(genes) or self.decode(genes) != architecture:
            raise UserError(f"architecture {architecture.short_hash()} is not in the design space")
        return genes

    def decode(self, genes: Sequence[int]) -> Architecture:
        """The architecture of genes as `encode` gives; genes of missing layers are ignored."""
        encoder_dim, decoder_dim, encoder_depth, decoder_depth, qkv_dim = genes[:5]
        split = 5 + 2 * max(self.encoder_layers)
        encoder = tuple(EncoderLayer(*genes[5 + 2 * i : 7 + 2 * i]) for i in range(encoder_depth))
        rows = (genes[split + 4 * i : split + 4 * i + 4] for i in range(decoder_depth))
        decoder = tuple(
            DecoderLayer(ffn_dim, self_heads, cross_heads, min(attended, encoder_depth))
            for ffn_dim, self_heads, cross_heads, attended in rows
        )
        return Architecture(qkv_dim, Encoder(encoder_dim, encoder), Decoder(decoder_dim, decoder))

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
        encoder_layer = len(self.encoder_ffn_dim) * len(self.encoder_heads)
        heads = len(self.decoder_self_heads) * len(self.decoder_cross_heads)
        total = 0
        for encoder_depth in self.encoder_layers:
            decoder_layer = len(self.decoder_ffn_dim) * heads * len(self._reachable(encoder_depth))
            decoders = sum(decoder_layer**depth for depth in self.decoder_layers)
            total += dims * encoder_layer**encoder_depth * decoders
        return total

    def enumerate(self) -> Iterator[Architecture]:
        """Every architecture of the space once. Only for tiny spaces: see `size`."""
        for depth, decoder_depth in product(self.encoder_layers, self.decoder_layers):
            encoder_sizes = product(self.encoder_ffn_dim, self.encoder_heads)
            encoder_layers = [EncoderLayer(*sizes) for sizes in encoder_sizes]
            heads = (self.decoder_self_heads, self.decoder_cross_heads)
            decoder_sizes = product(self.decoder_ffn_dim, *heads, self._reachable(depth))
            decoder_layers = [DecoderLayer(*sizes) for sizes in decoder_sizes]
            for qkv_dim, encoder_dim, decoder_dim, encoder, decoder in product(
                self.qkv_dim,
                self.encoder_embed_dim,
                self.decoder_embed_dim,
                product(encoder_layers, repeat=depth),
                product(decoder_layers, repeat=decoder_depth),
            ):
                yield Architecture(qkv_dim, Encoder(encoder_dim, encoder), Decoder(decoder_dim, decoder))

    def largest(self) -> Architecture:
        """The largest choice of everything: the SuperTransformer's own architecture."""
        return self._extreme(max)

    def smallest(self) -> Architecture:
        """The smallest choice of everything."""
        return self._extreme(min)

    def neighbours(self, architecture: Architecture) -> Iterator[Architecture]:
        """The architectures one gene away. A layer that appears repeats the one below it."""
        genes = self.encode(architecture)
        start, split = 5, 5 + 2 * max(self.encoder_layers)
        full = list(genes)
        for index in range(start, len(full)):
            if full[index] == MISSING:
                full[index] = full[index - (2 if index < split else 4)]
        for index, choices in enumerate(self._gene_choices):
            for choice in choices:
                if genes[index] not in (MISSING, choice):
                    yield self.decode([*full[:index], choice, *full[index + 1 :]])

    def _extreme(self, pick: Callable[[Choices], int]) -> Architecture:
        return self.decode([pick(choices) for choices in self._gene_choices])

    def _reachable(self, encoder_depth: int) -> Choices:
        """The values of `encoder_layers_attended` that an encoder of this depth allows."""
        return tuple(dict.fromkeys(min(n, encoder_depth) for n in self.encoder_layers_attended))

    @cached_property
    def _gene_choices(self) -> tuple[Choices, ...]:
        heads = (self.decoder_self_heads, self.decoder_cross_heads)
        return (
            *(self.encoder_embed_dim, self.decoder_embed_dim),
            *(self.encoder_layers, self.decoder_layers, self.qkv_dim),
            *(self.encoder_ffn_dim, self.encoder_heads) * max(self.encoder_layers),
            *(self.decoder_ffn_dim, *heads, self.encoder_layers_attended) * max(self.decoder_layers),
        )

    def _genes(self, architecture: Architecture) -> Genes:
        encoder, decoder = architecture.encoder, architecture.decoder
        genes = [encoder.embed_dim, decoder.embed_dim]
        genes += [len(encoder.layers), len(decoder.layers), architecture.qkv_dim]
        for layer in encoder.layers:
            genes += [layer.ffn_dim, layer.heads]
        genes += [MISSING, MISSING] * (max(self.encoder_layers) - len(encoder.layers))
        for row in decoder.layers:
            attended = self._attended_choice(row.encoder_layers_attended)
            genes += [row.ffn_dim, row.self_heads, row.cross_heads, attended]
        genes += [MISSING] * 4 * (max(self.decoder_layers) - len(decoder.layers))
        return tuple(genes)

    def _attended_choice(self, attended: int) -> int:
        """The smallest choice that gives `attended`, which a shallow encoder may have cut short."""
        return min((n for n in self.encoder_layers_attended if n >= attended), default=attended)

    def _valid(self, genes: Genes) -> bool:
        return len(genes) == len(self._gene_choices) and all(
            gene == MISSING or gene in choices
            for gene, choices in zip(genes, self._gene_choices, strict=True)
        )


def _check_choices(name: str, choices: Any) -> None:
    if not choices:
        raise UserError(f"{name}: no choices; at least one is needed")
    for choice in choices:
        if not isinstance(choice, int) or isinstance(choice, bool) or choice < 1:
            raise UserError(
                f"{name}: {shown(choice)} in {shown(list(choices))} is not a positive whole number"
            )
    if len(set(choices)) < len(choices):
        raise UserError(f"{name}: {shown(list(choices))} holds a choice twice")
