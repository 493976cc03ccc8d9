"""The architectures that engines are timed on."""

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer

HEADS = 8
VANILLA = Architecture(
    512, Encoder(512, (EncoderLayer(2048, HEADS),) * 6), Decoder(512, (DecoderLayer(2048, HEADS, HEADS),) * 6)
)
HAT = Architecture(
    512, Encoder(512, (EncoderLayer(2048, HEADS),) * 6), Decoder(512, (DecoderLayer(3072, HEADS, HEADS),))
)
HETEROGENEOUS = Architecture(
    512,
    Encoder(640, tuple(EncoderLayer(ffn, heads) for ffn, heads in ((2048, 8), (3072, 4)) * 3)),
    Decoder(512, (DecoderLayer(3072, 8, 4, 3), DecoderLayer(2048, 4, 8, 2))),
)
