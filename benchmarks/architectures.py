"""The architectures that engines are timed on."""

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer

HEADS = 8


def transformer(width: int, ffn_dim: int, heads: int) -> Architecture:
    """A homogeneous Transformer of 6 + 6 layers."""
    encoder, decoder = EncoderLayer(ffn_dim, heads), DecoderLayer(ffn_dim, heads, heads)
    return Architecture(width, Encoder(width, (encoder,) * 6), Decoder(width, (decoder,) * 6))


VANILLA = transformer(512, 2048, HEADS)
HAT = Architecture(512, VANILLA.encoder, Decoder(512, (DecoderLayer(3072, HEADS, HEADS),)))
HETEROGENEOUS = Architecture(
    512,
    Encoder(640, tuple(EncoderLayer(ffn, heads) for ffn, heads in ((2048, 8), (3072, 4)) * 3)),
    Decoder(512, (DecoderLayer(3072, 8, 4, 3), DecoderLayer(2048, 4, 8, 2))),
)
