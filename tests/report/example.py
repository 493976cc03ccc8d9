"""The report of a run with two baselines and a searched model."""

from typing import Any

import pytest

SCORES = {"bleu": 30.0, "chrf": 55.0, "bleu_signature": "nrefs:1", "chrf_signature": "nc:6"}


def model(name: str, kind: str, latency: float, size: int, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "latency_ms": latency,
        "latency_low_ms": latency - 0.3,
        "latency_high_ms": latency + 0.5,
        "latency_iqr_ms": 0.5,
        "too_noisy": False,
        "peak_memory_bytes": 300_000_000,
        "parameters": 1_000_000,
        "parameters_with_embeddings": 2_000_000,
        "artefact_bytes": size,
        **SCORES,
        "constraint": [],
        **more,
    }


@pytest.fixture
def report() -> dict[str, Any]:
    found = {
        "constraint": [
            {
                "cost": "latency",
                "text": "60%",
                "limit": 12.0,
                "value": 11.0,
                "low": 10.8,
                "high": 11.4,
                "verdict": "met",
            }
        ],
        "predicted_of_limit": {"latency": 0.95},
        "inherited_loss": 2.5,
        "random_search_loss": 2.6,
        "evaluations": 100,
    }
    return {
        "run": "r",
        "folder": "runs/r",
        "default": "hat-60pct",
        "models": [
            model("big", "baseline", 40.0, 8_000_000),
            model("small", "baseline", 20.0, 2_000_000),
            model("hat-60pct", "found", 10.0, 4_000_000, **found),
            model("largest", "inherited", 80.0, 16_000_000, peak_memory_bytes=None),
        ],
        "environment": {"cpu": "Z80", "cores_allowed": 2},
        "protocol": {
            "source_lengths": [9, 12],
            "target_lengths": [10, 14],
            "engine": "torch",
            "threads": 1,
            "precision": "float32",
            "beam": 4,
        },
        "predictors": {
            "latency": {"samples": 50, "mape": 3.0, "mape_low": 2.0, "mape_high": 4.0, "linear_mape": 5.0}
        },
        "costs": {
            "prepare": {"wall_seconds": 60, "device_seconds": 90},
            "search": {"wall_seconds": 3600, "device_seconds": 3600},
        },
        "samples": [{"source": "a [b]", "reference": "c", "translation": "d"}],
    }
