"""The engines that run models, one entry each: the only place outside an engine's module that knows it.

docs/add/engine.md says how to add one.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EngineSpec:
    """One engine.

    `name`: in options, recipes and messages. `module`, `factory`: its class, called with an artefact and
    EngineSettings; imported when the engine is used, so that the plain install never loads PyTorch.
    `install`: the remedy where the module cannot be imported. `library`: the package whose version is that
    of the engine; None: HAT itself. `families`: names of the network families that it runs; None: all.
    `exporter`: the format of `Family.exporters` that it builds its network from; None: it needs none.
    `devices`: the accelerators that it computes on. `instruction_sets`: True if
    `EngineSettings.instruction_set` chooses among its kernels.
    """

    name: str
    module: str
    factory: str
    install: str
    library: str | None = None
    families: tuple[str, ...] | None = None
    exporter: str | None = None
    devices: tuple[str, ...] = ("cpu",)
    instruction_sets: bool = False


# By name, in the order in which "auto" prefers them.
ENGINES = {
    spec.name: spec
    for spec in (
        EngineSpec(
            name="native",
            module="hat.runtime.engines.native",
            factory="NativeEngine",
            install="install HAT again where a C++ compiler works (pip install -v shows its messages)",
            families=("transformer",),
            instruction_sets=True,
        ),
        EngineSpec(
            name="onnxruntime",
            module="hat.runtime.onnx.engine",
            factory="OnnxEngine",
            install='pip install "hardware-aware-transformers[onnx]"',
            library="onnxruntime",
            exporter="onnx",
        ),
        EngineSpec(
            name="torch",
            module="hat.model.engine",
            factory="TorchEngine",
            install='pip install "hardware-aware-transformers[train]"',
            library="torch",
            devices=("cpu", "cuda"),
        ),
    )
}
# The engine that "auto" prefers.
FIRST_ENGINE = next(iter(ENGINES))
# Accelerators that at least one engine computes on.
DEVICES = tuple(dict.fromkeys(device for spec in ENGINES.values() for device in spec.devices))


def engines_on(device: str) -> tuple[str, ...]:
    """Names of the engines that compute on an accelerator, in the order of preference."""
    return tuple(name for name, spec in ENGINES.items() if device in spec.devices)
