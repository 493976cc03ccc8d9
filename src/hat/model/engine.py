"""The reference engine: PyTorch, as an Engine of hat.runtime."""

from collections.abc import Sequence

import torch

from hat.model.beam import beam_search
from hat.model.transformer import PAD, Transformer
from hat.runtime.artefact import Artefact
from hat.runtime.engine import DecodeOptions, EngineSettings, Hypothesis


class TorchEngine:
    """Translates with PyTorch in float32 on the CPU."""

    name = "torch"

    def __init__(self, artefact: Artefact, settings: EngineSettings) -> None:
        with torch.device("meta"):
            self.model = Transformer(artefact.config.model)
        weights = {name: torch.from_numpy(array) for name, array in artefact.weights.items()}
        self.model.load_state_dict(weights, assign=True)
        self.model.eval().requires_grad_(False)
        self.threads = settings.threads

    def translate(self, sources: Sequence[Sequence[int]], options: DecodeOptions) -> list[list[Hypothesis]]:
        """The best hypotheses of each source (token ids that end in </s>), best first."""
        if not sources:
            return []
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)  # a setting of the process: PyTorch knows no other
        longest = max(len(source) for source in sources)
        padded = [[PAD] * (longest - len(source)) + list(source) for source in sources]
        return beam_search(self.model, torch.tensor(padded), options)

    def close(self) -> None:
        """Let the weights go."""
        del self.model
