"""The predictor against laws of latency that are known."""

import json
import time

import numpy as np
import pytest

from hat.architecture import Architecture
from hat.errors import UserError
from hat.hardware import LatencyPredictor
from hat.hardware.features import FEATURES, features


def true_latency(architecture: Architecture) -> float:
    """A machine whose decoder streams weights and whose encoder computes (milliseconds)."""
    encoder, decoder = architecture.encoder, architecture.decoder
    qkv = architecture.qkv_dim
    milliseconds = 3.0
    for layer in encoder.layers:
        milliseconds += 0.2 + 30e-8 * (4 * encoder.embed_dim * qkv)
        milliseconds += 30e-8 * 2 * encoder.embed_dim * layer.ffn_dim
    for decoder_layer in decoder.layers:
        milliseconds += 2 + 1e-6 * decoder.embed_dim * (6 * qkv + 2 * decoder_layer.ffn_dim)
        milliseconds += 1e-6 * decoder_layer.encoder_layers_attended * qkv * 300
        milliseconds += 0.05 * decoder_layer.self_heads
    return milliseconds + 0.02 * decoder.embed_dim


def noisy(architectures: list[Architecture], seed: int = 0, noise: float = 0.01) -> list[float]:
    rng = np.random.default_rng(seed)
    return [true_latency(a) * (1 + noise * rng.standard_normal()) for a in architectures]


def test_synthetic_truth_is_recovered(architectures: list[Architecture]) -> None:
    start = time.thread_time()
    predictor = LatencyPredictor.fit(architectures[:40], noisy(architectures[:40]), seed=0)
    assert time.thread_time() - start < 1
    report = predictor.report
    assert (report.samples, report.folds) == (40, 10)
    assert report.mape_low < report.mape < report.mape_high < 2
    assert report.mape < report.linear_mape
    unseen = architectures[40:]
    true = np.array([true_latency(a) for a in unseen])
    assert np.abs(predictor.predict(unseen) / true - 1).mean() < 0.02


def test_more_work_is_never_faster(architectures: list[Architecture]) -> None:
    predictor = LatencyPredictor.fit(architectures, noisy(architectures, noise=0.2), seed=0)
    assert min(predictor.weights) >= 0
    order = np.argsort(predictor.predict(architectures))
    assert len(order) == 60
    assert predictor.predict([]).shape == (0,)


def test_the_same_seed_gives_the_same_predictor(architectures: list[Architecture]) -> None:
    first, again = (LatencyPredictor.fit(architectures, noisy(architectures), 3) for _ in "ab")
    assert first == again


def test_few_samples_and_constant_features(architectures: list[Architecture]) -> None:
    same_encoder = [
        Architecture(512, architectures[0].encoder, a.decoder)
        for a in architectures
        if max(x.encoder_layers_attended for x in a.decoder.layers) <= len(architectures[0].encoder.layers)
    ][:9]
    predictor = LatencyPredictor.fit(same_encoder, noisy(same_encoder), seed=0)
    assert predictor.report.folds == 9
    assert predictor.weights[list(FEATURES).index("encoder_ffn")] == 0
    assert np.isfinite(predictor.predict(architectures)).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 0.0, -1.0])
def test_bad_latencies(architectures: list[Architecture], bad: float) -> None:
    latencies = noisy(architectures)
    latencies[7] = bad
    with pytest.raises(UserError, match="positive numbers of milliseconds"):
        LatencyPredictor.fit(architectures, latencies, seed=0)
    with pytest.raises(UserError, match="at least 8"):
        LatencyPredictor.fit(architectures[:7], latencies[:7], seed=0)
    with pytest.raises(UserError, match="60 measurements for 59 architectures"):
        LatencyPredictor.fit(architectures[1:], latencies, seed=0)


def test_json_round_trip(architectures: list[Architecture]) -> None:
    predictor = LatencyPredictor.fit(architectures, noisy(architectures), seed=0)
    text = json.dumps(predictor.to_dict())
    again = LatencyPredictor.from_dict(json.loads(text))
    assert again == predictor
    np.testing.assert_array_equal(again.predict(architectures), predictor.predict(architectures))
    with pytest.raises(UserError, match="predictor: intercept: 'much' is not a number"):
        LatencyPredictor.from_dict(predictor.to_dict() | {"intercept": "much"})
    with pytest.raises(UserError, match="unknown key colour"):
        LatencyPredictor.from_dict(predictor.to_dict() | {"colour": 1})


def test_features_of_one_architecture_by_hand() -> None:
    architecture = Architecture.from_dict(
        {
            "qkv_dim": 8,
            "encoder": {"embed_dim": 4, "layers": [{"ffn_dim": 3, "heads": 2}] * 2},
            "decoder": {
                "embed_dim": 6,
                "layers": [
                    {
                        "ffn_dim": 5,
                        "self_heads": 2,
                        "cross_heads": 4,
                        "encoder_layers_attended": 2,
                    }
                ],
            },
        }
    )
    row = dict(zip(FEATURES, features([architecture])[0], strict=True))
    assert row == {
        "encoder_attention": 2 * 4 * 8,
        "encoder_ffn": 4 * 6,
        "encoder_softmax": 4,
        "encoder_layers": 2,
        "decoder_attention": 6 * 8,
        "decoder_ffn": 6 * 5,
        "decoder_softmax": 2,
        "decoder_layers": 1,
        "cross_keys": 8 * 2,
        "cross_projection": 4 * 8 * 2,
        "cross_softmax": 8,
        "output_projection": 6,
    }
