"""The fitness of a candidate, on a real SuperTransformer with random weights."""

import random

import numpy as np
import pytest
import torch

from hat import zoo
from hat.architecture import ModelConfig
from hat.data import Batch
from hat.model import SuperTransformer
from hat.search.evaluate import candidate_loss
from hat.training import TrainingSettings


def _batch(rng: np.random.Generator, rows: int, length: int) -> Batch:
    """Unpadded but for one sentence, which is shorter on both sides."""
    source, target = rng.integers(4, 40, (2, rows, length))
    source[:, -1] = target[:, -1] = 2
    source[0, 0], target[0, -2:] = 1, (2, 1)
    shifted = np.concatenate([np.full((rows, 1), 2), target[:, :-1]], axis=1)
    shifted[0, -1] = 1
    return Batch(
        source=source,
        target_in=shifted,
        target_out=target,
        target_tokens=rows * length - 1,
        rows=np.arange(rows),
    )


def test_it_is_the_loss_per_token_with_lent_weights() -> None:
    space = zoo.space("demo")
    torch.manual_seed(0)
    network = SuperTransformer(ModelConfig(space.largest(), 40, 40))
    rng = np.random.default_rng(0)
    batches = [_batch(rng, 3, 7), _batch(rng, 5, 4)]
    before = {name: weight.clone() for name, weight in network.named_parameters()}
    loss = candidate_loss(network, batches, TrainingSettings(updates=1, precision="fp32"))
    network.eval()
    for seed in range(3):
        architecture = space.sample(random.Random(seed))
        total = 0.0
        for batch in batches:
            source, target_in, target_out = map(
                torch.from_numpy, (batch.source, batch.target_in, batch.target_out)
            )
            log_p = network(architecture, source, target_in).log_softmax(-1).detach()
            gold = log_p.gather(2, target_out[..., None])[..., 0]
            smoothed = 0.9 * gold + 0.1 * log_p.mean(-1)
            total -= float(smoothed[target_out != 1].sum())
        tokens = sum(batch.target_tokens for batch in batches)
        assert loss(architecture) == pytest.approx(total / tokens, rel=1e-6)
        network.train()
        assert loss(architecture) == loss(architecture), "no dropout, whatever the network's mode"
        network.eval()
    assert all(torch.equal(weight, before[name]) for name, weight in network.named_parameters())
