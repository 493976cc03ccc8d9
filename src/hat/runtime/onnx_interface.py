"""The two ONNX graphs of a model: what goes in and what comes out of each.

**encoder**, once for a batch: `source` (B, S) int64, token ids including the final </s>, shorter
sentences padded with 1 on either side → for each decoder layer i `cross_keys.i` (B, H, d, nS) and
`cross_values.i` (B, H, nS, d), n the number of encoder layers it attends to; and `source_bias`
(B, 1, 1, S), 0 for a token and -1e9 for padding.

**decoder**, once for each target position, over R = B × K rows, the K hypotheses of a sentence next
to each other:

| input | |
| --- | --- |
| `tokens` (R) int64 | the last token of each hypothesis; </s> (2) at the first step |
| `parents` (R) int64 | which row of the last step each hypothesis goes on from |
| `wanted` (R, W) int64 | tokens of each row whose log-probability is asked for, whatever their rank |
| `candidates` (1) int64 | how many of the best tokens of each row are asked for |
| `source_bias`, `cross_keys.i`, `cross_values.i` | the encoder's outputs, one row per sentence |
| `self_keys.i`, `self_values.i` (R', H, T, d) | `present_keys.i`, … of the last step; T = 0 at first |

→ `log_probs`, `words` (R, candidates), best first, `wanted_log_probs` (R, W), and `present_keys.i`,
`present_values.i` (R, H, T + 1, d). Everything that is not int64 is float32. Axes: B sentences, S
source length, K beam, T target length so far, H heads of the layer, d = qkv_dim / H.
"""

from dataclasses import dataclass

from hat.architecture import ModelConfig
from hat.runtime.precision import is_kmeans

ONNX_FORMAT = "onnx-1"  # stands in an export's config.json where an artefact has its format's number
NEGATIVE_BIAS = -1e9  # as good as minus infinity to a softmax, and no risk of inf - inf


def onnx_precision(precision: str) -> str:
    """The precision of the graphs that an artefact at `precision` becomes: int8 stays and k-means is
    expanded to it; bfloat16 is expanded to float32."""
    return "int8" if precision == "int8" or is_kmeans(precision) else "float32"


@dataclass(frozen=True)
class Port:
    """One input or output: its name, element type and shape (a name where the size varies)."""

    name: str
    type: str
    shape: tuple[str | int, ...]


Ports = tuple[list[Port], list[Port]]


def encoder_ports(config: ModelConfig) -> Ports:
    """Inputs and outputs of the encoder."""
    return [Port("source", "int64", ("B", "S"))], _memories(config)


def decoder_ports(config: ModelConfig) -> Ports:
    """Inputs and outputs of the decoder's step."""
    inputs = [Port(name, "int64", ("R",)) for name in ("tokens", "parents")]
    inputs += [Port("wanted", "int64", ("R", "W")), Port("candidates", "int64", (1,))]
    inputs += [*_memories(config), *_caches(config, "self", "P", "T")]
    outputs = [
        Port("log_probs", "float", ("R", "C")),
        Port("words", "int64", ("R", "C")),
        Port("wanted_log_probs", "float", ("R", "W")),
        *_caches(config, "present", "R", "T+1"),
    ]
    return inputs, outputs


def cache_shape(config: ModelConfig, layer: int, rows: int) -> tuple[int, int, int, int]:
    """Shape of `self_keys.layer` and `self_values.layer` before the first step."""
    heads = config.transformer.decoder.layers[layer].self_heads
    return rows, heads, 0, config.transformer.qkv_dim // heads


def _memories(config: ModelConfig) -> list[Port]:
    ports = [Port("source_bias", "float", ("B", 1, 1, "S"))]
    for index, layer in enumerate(config.transformer.decoder.layers):
        heads, attended = layer.cross_heads, layer.encoder_layers_attended
        width, length = config.transformer.qkv_dim // heads, "S" if attended == 1 else f"{attended}S"
        ports.append(Port(f"cross_keys.{index}", "float", ("B", heads, width, length)))
        ports.append(Port(f"cross_values.{index}", "float", ("B", heads, length, width)))
    return ports


def _caches(config: ModelConfig, kind: str, rows: str, length: str) -> list[Port]:
    ports = []
    for index in range(len(config.transformer.decoder.layers)):
        _, heads, _, width = cache_shape(config, index, 0)
        for part in ("keys", "values"):
            ports.append(Port(f"{kind}_{part}.{index}", "float", (rows, heads, length, width)))
    return ports
