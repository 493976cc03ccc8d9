"""The Transformer: attention in training, attention to several encoder layers, positions, dropout."""

import random

import pytest
import torch

from hat.architecture import Architecture, ModelConfig
from hat.model import Transformer
from hat.model.layers import FastDropout
from hat.model.state import Encoded
from tests.model.networks import SPACE, batch, perturbed


def models(count: int) -> list[Transformer]:
    network = perturbed("shared", torch.float64)
    rng = random.Random(11)
    return [network.extract(SPACE.sample(rng)) for _ in range(count)]


@torch.no_grad()
def test_training_and_evaluation_attend_alike() -> None:
    """Training has its own attention arithmetic on CPUs; without dropout it must not matter."""
    for model in models(10):
        torch.testing.assert_close(model.train()(*batch(2)), model.eval()(*batch(2)), rtol=0, atol=1e-12)


@torch.no_grad()
def test_attending_to_more_layers_sees_them() -> None:
    """With n attended, a change in the n-th last encoder layer's output matters, in the n+1-th not."""
    plan = SPACE.largest().to_dict()
    plan["decoder"]["layers"] = plan["decoder"]["layers"][:1]
    for attended in (1, 2, 3):
        plan["decoder"]["layers"][0]["encoder_layers_attended"] = attended
        model = perturbed("shared", torch.float64).extract(Architecture.from_dict(plan))
        source, target = batch(4)
        for back in (1, 2, 3):
            encoded = model.encode(source)
            before = model.decode(target, encoded)
            layers = list(encoded.layers)
            layers[-back] = layers[-back] + 1
            changed = Encoded(tuple(layers), encoded.real)
            assert torch.equal(before, model.decode(target, changed)) == (back > attended)


def test_positions_beyond_any_table_are_fine() -> None:
    model = Transformer(ModelConfig(SPACE.smallest(), 40, 40)).eval()
    source = torch.randint(3, 40, (1, 1500))
    assert model(source, source).isfinite().all()


def test_fast_dropout_drops_and_scales() -> None:
    torch.manual_seed(0)
    x = torch.ones(1000, 101)
    layer = FastDropout(0.3)
    y = layer(x)
    kept = y.ne(0)
    assert kept.double().mean() == pytest.approx(1 - 77 / 256, abs=0.01)
    assert torch.all(y[kept] == 256 / (256 - 77))
    columns = kept.double().mean(dim=0)  # bytes of one random word must not be alike
    assert columns.min() > 0.62
    assert columns.max() < 0.78
    assert layer.eval()(x) is x
