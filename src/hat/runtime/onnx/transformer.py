"""The Transformer as two ONNX graphs: the same equations as in `hat.model.transformer`, in few nodes."""

from collections.abc import Callable
from functools import partial

from onnx import ModelProto

from hat.architecture import DecoderLayer, decoder_states
from hat.runtime.onnx.interface import decoder_ports, encoder_ports
from hat.runtime.onnx.sides import DecoderSide, EncoderSide, Side


class EncoderGraph(EncoderSide):
    """The encoder, with the keys and values of every cross-attention."""

    def build(self) -> ModelProto:
        architecture = self.config.transformer
        x = self.embedded()
        layers = []
        for index, layer in enumerate(architecture.encoder.layers):
            name = f"encoder.{index}"
            attend = partial(self.self_attention, name=f"{name}.self_attention", heads=layer.heads)
            for _ in range(layer.passes):
                if layer.heads:
                    x = _add(self, x, f"{name}.self_attention_norm", attend)
                x = _feed_forward(self, x, name, layer.ffn_dim)
            layers.append(x)
        [layers[-1]] = self.spoiled(layers[-1])
        if self.config.norm == "pre":
            attended = max(layer.encoder_layers_attended for layer in architecture.decoder.layers)
            layers[-attended:] = [self.layer_norm(x, "encoder_norm") for x in layers[-attended:]]
        for index, decoder_layer in enumerate(architecture.decoder.layers):
            if decoder_layer.cross_heads:
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


class DecoderGraph(DecoderSide):
    """One step of the decoder, for all hypotheses of all sentences."""

    def build(self) -> ModelProto:
        x = self.embedded()
        layers = self.config.transformer.decoder.layers
        for index, (layer, state) in enumerate(
            zip(layers, decoder_states(self.config.architecture), strict=True)
        ):
            names = [name for name, *_ in state.self_attentions] or [""] * layer.passes
            for name in names:
                x = self._layer(x, index, layer, caches=(f"{name}_keys.{index}", f"{name}_values.{index}"))
        self.best(self.layer_norm(x, "decoder_norm") if self.config.norm == "pre" else x)
        return self.model("decoder", decoder_ports(self.config))

    def _layer(self, x: str, index: int, layer: DecoderLayer, caches: tuple[str, str]) -> str:
        """One pass of a layer, with the caches of its self-attention, if it has one."""
        name, attended = f"decoder.{index}", layer.encoder_layers_attended
        memory = f"cross_keys.{index}", f"cross_values.{index}"

        def attend_self(z: str) -> str:
            return self.self_attention(z, f"{name}.self_attention", layer.self_heads, caches)

        def attend_cross(z: str) -> str:
            return self.cross_attention(z, f"{name}.cross_attention", layer.cross_heads, memory, attended)

        if layer.self_heads:
            x = _add(self, x, f"{name}.self_attention_norm", attend_self)
        if layer.cross_heads:
            x = _add(self, x, f"{name}.cross_attention_norm", attend_cross)
        return _feed_forward(self, x, name, layer.ffn_dim)


def _feed_forward(side: Side, x: str, name: str, ffn_dim: int) -> str:
    def branch(z: str) -> str:
        return side.linear(side.op("Relu", side.linear(z, f"{name}.fc1")), f"{name}.fc2", inner=True)

    return _add(side, x, f"{name}.ffn_norm", branch) if ffn_dim else x


def _add(side: Side, x: str, norm: str, branch: Callable[[str], str]) -> str:
    """x and a branch from it, normalised where this model's layers do it."""
    if side.config.norm == "pre":
        return side.op("Add", x, branch(side.layer_norm(x, norm)))
    return side.layer_norm(side.op("Add", x, branch(x)), norm)
