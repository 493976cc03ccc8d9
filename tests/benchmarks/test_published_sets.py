"""The benchmark of the predictor on a set of known law."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from benchmarks import published_sets
from hat.predictor.paper_network import PaperMLP
from hat.predictor.published_sets import COLUMNS
from hat.progress import silent


@pytest.fixture
def linear_set(tmp_path: Path) -> Path:
    """200 models whose latency is linear in depth, with noise of 2%."""
    rng = np.random.default_rng(0)
    lines = [",".join(COLUMNS)]
    for _ in range(200):
        depth, ffn = rng.integers(1, 7), rng.integers(1024, 3073)
        latency = (10 + 20 * depth) * (1 + 0.02 * rng.standard_normal())
        row = [640, 6, 2048, 8, 512, depth, ffn, 8, 8, 1, 5.0, latency, 0.1, 1.0]
        lines.append(",".join(map(str, row)))
    path = tmp_path / "linear.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_figures_of_a_set_and_their_table(linear_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published_sets.PaperMLP, "fit", partial(PaperMLP.fit, updates=100))
    monkeypatch.setattr(published_sets, "LEAVES", (4,))
    found = published_sets.evaluate(linear_set, seeds=1, draws=2, progress=silent)
    assert found["rows"] == 200
    assert 0.6 < found["all"] <= 1.1 * found["few"] < 3
    assert found["ratio_all"] == found["all"] / found["mlp"] < 1
    assert 1 < found["flexible"] < 3
    assert 0.6 < found["few_inside"] <= 1
    text = published_sets.markdown({"seeds": 1, "draws": 2, "sets": {"linear": found}})
    assert f"| linear | {found['mlp']:.2f} | {found['few']:.2f} |" in text
    assert "- all: better on most sets (1 of 1): met" in text


def test_verdicts() -> None:
    def verdicts(few: float, every: float, seconds: float) -> list[bool]:
        one = {"ratio_few": few, "ratio_all": every, "seconds": seconds}
        return [met for _, met in published_sets.judge({"a": one, "b": one})]

    assert verdicts(1.05, 0.9, 0.5) == [True] * 5
    assert verdicts(1.15, 1.01, 0.5) == [True, False, True, False, True]
    assert verdicts(1.25, 1.03, 1.5) == [False] * 5
