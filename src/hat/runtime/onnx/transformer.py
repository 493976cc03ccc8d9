"""The Transformer as two ONNX graphs: the same equations as in `hat.model.transformer`, in few nodes."""

from collections.abc import Callable
from functools import partial

from onnx import ModelProto

from hat.architecture import DecoderLayer
from hat.runtime.artefact import Artefact
from hat.runtime.onnx.interface import decoder_ports, encoder_ports
from hat.runtime.onnx.sides import DecoderSide, EncoderSide, Side


def encoder_model(artefact: Artefact) -> ModelProto:
    """The encoder, with the keys and values of every cross-attention."""
    return _Encoder(artefact).build()


def decoder_model(artefact: Artefact) -> ModelProto:
    """One step of the decoder, for all hypotheses of all sentences."""
    return _Decoder(artefact).build()


class _Encoder(EncoderSide):
    def build(self) -> ModelProto:
        architecture = self.config.transformer
        x = self.embedded()
        layers = []
        for index, layer in enumerate(architecture.encoder.layers):
            name = f"encoder.{index}"
            attend = partial(self.self_attention, name=f"{name}.self_attention", heads=layer.heads)
            x = _add(self, x, f"{name}.self_attention_norm", attend)
            x = _feed_forward(self, x, name)
            layers.append(x)
        [layers[-1]] = self.spoiled(layers[-1])
        if self.config.norm == "pre":
            attended = max(layer.encoder_layers_attended for layer in architecture.decoder.layers)
            layers[-attended:] = [self.layer_norm(x, "encoder_norm") for x in layers[-attended:]]
        for index, decoder_layer in enumerate(architecture.decoder.layers):
            self._memory(layers, index, decoder_layer)
        return self.model("encoder", encoder_ports(self.config))

    def _memory(self, layers: list[str], index: int, layer: DecoderLayer) -> None:
        dim = self.config.transformer.encoder_dim
        attended = layers[: -layer.encoder_layers_attended - 1 : -1]  # last, second last, …
        encoded = attended[0]
        if len(attended) > 1:
            in_time = self.op("Concat", *(self.op("Reshape", x, self.shape(dim)) for x in attended), axis=1)
            encoded = self.op("Reshape", in_time, self.integers(-1, dim))
        outputs = f"cross_keys.{index}", f"cross_values.{index}"
        self.memory(encoded, f"decoder.{index}.cross_attention", layer.cross_heads, outputs)


class _Decoder(DecoderSide):
    def build(self) -> ModelProto:
        x = self.embedded()
        for index, layer in enumerate(self.config.transformer.decoder.layers):
            name = f"decoder.{index}"
            caches = f"self_keys.{index}", f"self_values.{index}"
            attend = partial(
                self.self_attention, name=f"{name}.self_attention", heads=layer.self_heads, caches=caches
            )
            x = _add(self, x, f"{name}.self_attention_norm", attend)
            attend = partial(
                self.cross_attention,
                name=f"{name}.cross_attention",
                heads=layer.cross_heads,
                memory=(f"cross_keys.{index}", f"cross_values.{index}"),
                attended=layer.encoder_layers_attended,
            )
            x = _add(self, x, f"{name}.cross_attention_norm", attend)
            x = _feed_forward(self, x, name)
        self.best(self.layer_norm(x, "decoder_norm") if self.config.norm == "pre" else x)
        return self.model("decoder", decoder_ports(self.config))


def _feed_forward(side: Side, x: str, name: str) -> str:
    def branch(z: str) -> str:
        return side.linear(side.op("Relu", side.linear(z, f"{name}.fc1")), f"{name}.fc2", inner=True)

    return _add(side, x, f"{name}.ffn_norm", branch)


def _add(side: Side, x: str, norm: str, branch: Callable[[str], str]) -> str:
    """x and a branch from it, normalised where this model's layers do it."""
    if side.config.norm == "pre":
        return side.op("Add", x, branch(side.layer_norm(x, norm)))
    return side.layer_norm(side.op("Add", x, branch(x)), norm)
