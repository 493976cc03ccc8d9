"""The inputs and outputs of a model's two ONNX graphs.

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
| `wanted` (R, W) int64 | tokens of each row whose log-probabilities are outputs, whatever their rank |
| `candidates` (1) int64 | C, the number of best tokens of each row that are outputs |
| `source_bias`, `cross_keys.i`, `cross_values.i` | the encoder's outputs, one row per sentence |
| `self_keys.i`, `self_values.i` (R', H, T, d) | `present_keys.i`, … of the last step; T = 0 at first |

The second pass of a decoder layer that runs several times has `pass2_keys.i` and `pass2_values.i`, which
become `present_pass2_keys.i`, …; the keys and values of the encoder are the same for all passes.

A layer without self-attention or without attention to the encoder lacks those inputs and outputs. A decoder
without any self-attention has the input `position` (1) int64 instead, the number of tokens decoded so far.

→ `log_probs`, `words` (R, C), best first, `wanted_log_probs` (R, W), and `present_keys.i`,
`present_values.i` (R, H, T + 1, d). Everything that is not int64 is float32. Axes: B sentences, S
source length, K beam, T target length so far, H heads of the attention, d = its qkv_dim / H.

An Evolved Transformer has two of each in a decoder cell i: attentions to the encoder with `first_keys.i`
and `first_values.i` besides, self-attentions with `many_keys.i` and `many_values.i` besides, and the
windows of its causal convolutions, `branch_window.i` (R', 10, D) and `merge_window.i` (R', 6, 2D), which
are zeros at first. The outputs that become them are called `present_many_keys.i`, … .
"""

from dataclasses import dataclass

from hat.architecture import ModelConfig, decoder_states
from hat.runtime.weights import is_kmeans

ONNX_FORMAT = "onnx-1"  # stands in an export's config.json where an artefact has its format's number
POSITION = "position"
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
    if first_keys(config) is None:
        inputs.append(Port(POSITION, "int64", (1,)))
    inputs += [*_memories(config), *caches(config)]
    outputs = [Port("log_probs", "float", ("R", "C")), Port("words", "int64", ("R", "C"))]
    outputs.append(Port("wanted_log_probs", "float", ("R", "W")))
    for port in caches(config):
        renamed: dict[str | int, str | int] = {"P": "R", "T": "T+1"}
        shape = tuple(renamed.get(size, size) for size in port.shape)
        outputs.append(Port(present(port.name), port.type, shape))
    return inputs, outputs


def present(cache: str) -> str:
    """The output that becomes the input `cache` of the next step."""
    return f"present_{cache.removeprefix('self_')}"


def first_keys(config: ModelConfig) -> str | None:
    """The first of the inputs that hold the keys of all positions so far; None without self-attention."""
    return next((port.name for port in caches(config) if "T" in port.shape), None)


def caches(config: ModelConfig) -> list[Port]:
    """The state that a step takes from the one before: P rows; T = 0 positions at first, windows of zeros."""
    ports = list[Port]()
    for index, state in enumerate(decoder_states(config.architecture)):
        for name, heads, width in state.self_attentions:
            shape = ("P", heads, "T", width)
            ports += [Port(f"{name}_{part}.{index}", "float", shape) for part in ("keys", "values")]
        for name, positions, channels in state.windows:
            ports.append(Port(f"{name}_window.{index}", "float", ("P", positions, channels)))
    return ports


def _memories(config: ModelConfig) -> list[Port]:
    ports = [Port("source_bias", "float", ("B", 1, 1, "S"))]
    for index, state in enumerate(decoder_states(config.architecture)):
        for name, heads, width, attended in state.cross_attentions:
            length = "S" if attended == 1 else f"{attended}S"
            ports.append(Port(f"{name}_keys.{index}", "float", ("B", heads, width, length)))
            ports.append(Port(f"{name}_values.{index}", "float", ("B", heads, length, width)))
    return ports
