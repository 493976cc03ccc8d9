"""The ONNX engine: onnxruntime runs the network, numpy the search.

For an artefact it builds the graphs in memory, which needs the package `onnx`; for an exported folder
onnxruntime is enough.
"""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

import numpy as np
import onnxruntime
from onnxruntime import InferenceSession

from hat.architecture import ModelConfig
from hat.errors import UserError
from hat.file_names import CONFIG, ONNX_FILES
from hat.files import read_json
from hat.runtime.artefact import FORMAT, Artefact, ArtefactConfig
from hat.runtime.decoding import DecodeOptions, Hypothesis
from hat.runtime.engines import EngineSettings, Origin
from hat.runtime.engines.huge_pages import huge_pages
from hat.runtime.onnx.beam_search import Array, Integers, Scored, beam_search
from hat.runtime.onnx.file import check_onnx_file
from hat.runtime.onnx.interface import (
    ONNX_FORMAT,
    POSITION,
    Ports,
    caches,
    decoder_ports,
    encoder_ports,
    first_keys,
)
from hat.threads import check_can_start
from hat.tokens import EOS, PAD

# Threads that wait spin for 20 microseconds, then sleep. Measured at batch 1: two threads are 1.06 times as
# fast as one on an idle machine and 0.90 beside a busy process (0.86 and 0.85 where they sleep at once; 0.80
# and 0.52 where they spin for as long as onnxruntime lets them).
WAITING = {"session.intra_op.spin_duration_us": "20"}


class OnnxEngine:
    """Translates on the CPU. bfloat16 artefacts run in float32, k-means artefacts in int8."""

    name = "onnxruntime"

    def __init__(self, artefact: Artefact, settings: EngineSettings) -> None:
        """Raises UserError for another device than the CPU, HatError if the system refuses so many threads,
        ModuleNotFoundError without `onnx`."""
        from hat.runtime.onnx.graph import decoder_model, encoder_model  # noqa: PLC0415 (exports run without)

        settings.engines([self.name])
        models = (build(artefact).SerializeToString() for build in (encoder_model, decoder_model))
        self._start(artefact.config.model, *(_session(model, settings) for model in models))

    def _start(self, config: ModelConfig, encoder: InferenceSession, decoder: InferenceSession) -> None:
        self._config, self._encoder, self._decoder = config, encoder, decoder
        self._origin = Origin("the onnxruntime engine", encoder, decoder)
        self._lock = Lock()  # two calls at once would use twice as many threads as the settings allow

    def translate(self, sources: Sequence[Sequence[int]], options: DecodeOptions) -> list[list[Hypothesis]]:
        """As `Engine.translate`. Raises UserError in a process forked after loading."""
        self._origin.check()
        sources = [list(source) for source in sources]
        if not sources:
            return []
        with self._lock:
            decoder = _SessionSteps(self, sources)
            return beam_search(decoder, [len(s) for s in sources], self._config.target_vocab, options)

    def score(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[tuple[float, ...]]:
        """As `Engine.score`. Raises UserError in a process forked after loading."""
        self._origin.check()
        sources, targets = ([list(tokens) for tokens in side] for side in (sources, targets))
        if not sources:
            return []
        rows, last, columns = np.arange(len(sources)), np.full(len(sources), EOS), []
        with self._lock:
            decoder = _SessionSteps(self, sources)
            for column in np.ascontiguousarray(_padded(targets).T):
                columns.append(decoder.step(last, rows, column, 1)[2])
                last = column
        scores = np.stack(columns, axis=1)
        return [tuple(row[: len(target)].tolist()) for row, target in zip(scores, targets, strict=True)]

    def close(self) -> None:
        """Release the sessions' memory; without effect in a process forked after loading."""
        del self._encoder, self._decoder, self._origin


def load_folder(folder: Path, settings: EngineSettings) -> tuple[ArtefactConfig, OnnxEngine]:
    """The configuration of a model that `hat.export.onnx.write_onnx` wrote, and the engine over it. Raises
    UserError naming the file and the mistake in it."""
    settings.engines([OnnxEngine.name])
    path = folder / CONFIG
    value = read_json(path)
    if not isinstance(value, dict) or value.get("format") != ONNX_FORMAT:
        raise UserError(f"{path}: not the configuration of an ONNX export of format {ONNX_FORMAT!r}")
    config = ArtefactConfig.from_dict(value | {"format": FORMAT}, str(path))
    ports = (encoder_ports(config.model), decoder_ports(config.model))
    files = zip(ONNX_FILES, ports, strict=True)
    engine = OnnxEngine.__new__(OnnxEngine)
    engine._start(config.model, *(_load_session(folder / name, port, settings) for name, port in files))
    return config, engine


class _SessionSteps:
    """The decoder's steps over one batch, as `beam_search` takes them.

    Arrays go in and come out without a copy. Keeping onnxruntime's values between steps, or binding them,
    takes 1.2 to 1.5 times as long: their Python wrappers cost more.
    """

    def __init__(self, engine: OnnxEngine, sources: Sequence[Sequence[int]]) -> None:
        self._run, config = engine._decoder.run, engine._config
        self._memory = [port.name for port in encoder_ports(config)[1]]
        encoded = engine._encoder.run(self._memory, {"source": _padded(sources)})
        self._feeds: dict[str, Array] = dict(zip(self._memory, encoded, strict=True))
        self._outputs = [port.name for port in decoder_ports(config)[1]]
        sizes = {"P": len(sources), "T": 0}
        if first_keys(config) is None:
            self._feeds[POSITION] = np.zeros(1, np.int64)
        self._caches = [port.name for port in caches(config)]
        for port in caches(config):
            shape = [sizes[size] if isinstance(size, str) else size for size in port.shape]
            self._feeds[port.name] = np.zeros(shape, np.float32)

    def step(self, tokens: Integers, parents: Integers, wanted: Integers, candidates: int) -> Scored:
        feeds = self._feeds
        feeds |= {"tokens": tokens, "parents": parents}
        feeds |= {"wanted": wanted[:, None], "candidates": np.array([candidates])}
        log_probs, words, wanted_log_probs, *kept = self._run(self._outputs, feeds)
        feeds |= zip(self._caches, kept, strict=True)
        if POSITION in feeds:
            feeds[POSITION] = feeds[POSITION] + 1
        return log_probs, words, wanted_log_probs[:, 0]

    def select(self, rows: Integers) -> None:
        self._feeds |= {name: self._feeds[name][rows] for name in self._memory}


def _padded(rows: Sequence[Sequence[int]]) -> Integers:
    longest = max(len(row) for row in rows)
    return np.array([[*row, *[PAD] * (longest - len(row))] for row in rows], np.int64)


def _session(model: bytes | str, settings: EngineSettings) -> InferenceSession:
    check_can_start(settings.threads)  # onnxruntime waits for ever for a thread that cannot start
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    for name, value in WAITING.items():
        options.add_session_config_entry(name, value)
    options.log_severity_level = 3  # errors are raised; warnings are about onnxruntime's changes of graphs
    with huge_pages():
        return InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _load_session(path: Path, ports: Ports, settings: EngineSettings) -> InferenceSession:
    check_onnx_file(path)
    try:
        session = _session(str(path), settings)
    except Exception as error:  # onnxruntime's exceptions share no narrower base
        lines = str(error).splitlines() or [type(error).__name__]
        raise UserError(f"{path}: onnxruntime cannot load it ({lines[0]})") from error
    for expected, present in zip(ports, (session.get_inputs(), session.get_outputs()), strict=True):
        wanted = {port.name: (f"tensor({port.type})", _sizes(port.shape)) for port in expected}
        has = {port.name: (port.type, _sizes(port.shape)) for port in present}
        for name in [*wanted, *has]:
            if wanted.get(name) != has.get(name):
                raise UserError(
                    f"{path}: does not fit {CONFIG}: {name} is {has.get(name, 'missing')}; "
                    f"expected {wanted.get(name, 'no such tensor')}"
                )
    return session


def _sizes(shape: Sequence[str | int | None]) -> list[int | None]:
    """The fixed sizes of a shape, None where it varies."""
    return [size if isinstance(size, int) else None for size in shape]
