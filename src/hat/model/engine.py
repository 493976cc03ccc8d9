"""The reference engine: PyTorch, as an Engine of hat.runtime."""

import logging
from collections.abc import Sequence
from threading import Lock

import torch
from torch import Tensor

from hat.errors import UserError
from hat.model.beam import Decodes, beam_search
from hat.model.build import build, static_decoder
from hat.runtime import Artefact, DecodeOptions, EngineSettings, Hypothesis
from hat.runtime.engines import Origin, forked_after_torch
from hat.threads import check_can_start
from hat.tokens import EOS, PAD


class TorchEngine:
    """Translates with PyTorch: in float32 on the CPU, in half precision on a GPU.

    An artefact of any precision is accepted; its weights are expanded first. On a GPU the decoding steps
    of a Transformer are recorded as CUDA graphs; other families run one operation at a time.
    """

    name = "torch"

    def __init__(self, artefact: Artefact, settings: EngineSettings) -> None:
        """Raises UserError where `settings.device` is "cuda" and there is no GPU."""
        self.device = torch.device(settings.device)
        dtype = torch.float32 if settings.device == "cpu" else _half_precision()
        with torch.device("meta"):
            self.model = build(artefact.config.model)
        arrays = artefact.float_weights().items()
        weights = {name: torch.from_numpy(array).to(self.device, dtype) for name, array in arrays}
        self.model.load_state_dict(weights, assign=True)
        self.model.eval().requires_grad_(False)
        self.decoder: Decodes = self.model if settings.device == "cpu" else static_decoder(self.model)
        self._threads = _threads_here(settings.threads)
        self._origin = Origin("the torch engine", self.model, self.decoder)
        self._lock = Lock()  # decoders keep buffers between calls

    def translate(self, sources: Sequence[Sequence[int]], options: DecodeOptions) -> list[list[Hypothesis]]:
        """The best hypotheses of each source (token ids that end in </s>), best first. Raises UserError
        in a process forked after loading."""
        self._origin.check()
        sources = [list(source) for source in sources]
        if not sources:
            return []
        with self._lock:
            self._set_threads()
            return beam_search(self.decoder, self._sources(sources), options)

    @torch.inference_mode()
    def score(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[tuple[float, ...]]:
        """The log-probability of every target token (ids end in </s> on both sides), pair by pair. Raises
        UserError in a process forked after loading."""
        self._origin.check()
        sources, targets = ([list(sentence) for sentence in side] for side in (sources, targets))
        if not sources:
            return []
        target = _padded(targets, before=False).to(self.device)
        target_in = target.roll(1, dims=1)
        target_in[:, 0] = EOS
        with self._lock:
            self._set_threads()
            logits = self.model(self._sources(sources), target_in)
            log_probs = logits.float().log_softmax(dim=-1).gather(2, target[..., None])[..., 0]
        rows = zip(log_probs.tolist(), targets, strict=True)
        return [tuple(row[: len(target)]) for row, target in rows]

    def close(self) -> None:
        """Release the weights; without effect in a process forked after loading."""
        del self.model, self.decoder, self._origin

    def _sources(self, sources: Sequence[Sequence[int]]) -> Tensor:
        return _padded(sources, before=True).to(self.device)

    def _set_threads(self) -> None:
        if torch.get_num_threads() != self._threads:
            check_can_start(self._threads)  # OpenMP ends the process if it cannot start a thread
            torch.set_num_threads(self._threads)  # of the process: PyTorch has no setting for one model


def _threads_here(threads: int) -> int:
    """`threads`, or 1 in a process forked from one that had loaded PyTorch, in which more would wait for
    threads that only the parent process has."""
    if threads == 1 or not forked_after_torch():
        return threads
    logging.getLogger("hat").warning(
        "hat: warning: the torch engine computes with 1 thread: this process was forked from one that had "
        "loaded PyTorch; start it by spawn to have %d",
        threads,
    )
    return 1


def _half_precision() -> torch.dtype:
    """bfloat16, or float16 on GPUs that only emulate it. Raises UserError without a GPU."""
    if not torch.cuda.is_available():
        raise UserError("device cuda: PyTorch finds no CUDA GPU on this machine; the choice left is cpu")
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def _padded(sentences: Sequence[Sequence[int]], before: bool) -> Tensor:
    """Token ids (B, L), padded before or after each sentence."""
    longest = max(len(sentence) for sentence in sentences)
    rows = []
    for sentence in sentences:
        padding = [PAD] * (longest - len(sentence))
        rows.append([*padding, *sentence] if before else [*sentence, *padding])
    return torch.tensor(rows)
