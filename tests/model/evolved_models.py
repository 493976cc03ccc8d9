"""Small Evolved Transformers with random weights, shared by tests."""

import numpy as np
import torch

from hat.architecture import EvolvedArchitecture, ModelConfig
from hat.model.evolved import EvolvedTransformer
from hat.runtime import Artefact, ArtefactConfig


def evolved_network(embeddings: str = "shared", dtype: torch.dtype = torch.float64) -> EvolvedTransformer:
    """Two cells on each side; norms and biases too are away from where they start."""
    config = ModelConfig(EvolvedArchitecture(16, 4, 2, 2), 40, 40, embeddings)  # type: ignore[arg-type]
    torch.manual_seed(3)
    network = EvolvedTransformer(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return network.to(dtype).eval()


def evolved_artefact(embeddings: str = "shared", precision: str = "float32") -> Artefact:
    """The same network as an artefact without a tokenizer."""
    network = evolved_network(embeddings, torch.float32)
    weights = {name: weight.detach().numpy().copy() for name, weight in network.named_parameters()}
    assert all(weight.dtype == np.float32 for weight in weights.values())
    return Artefact(ArtefactConfig(network.config), weights).at_precision(precision)
