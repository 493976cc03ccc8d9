"""The published latency predictor's weights."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hat.errors import UserError
from hat.interop import load_reference_predictor
from tests.interop.published_checkpoint import predictor_tensors


def save(tmp_path: Path, content: object) -> Path:
    torch.save(content, tmp_path / "predictor.pt")
    return tmp_path / "predictor.pt"


def test_predicts_as_the_network_does(tmp_path: Path) -> None:
    weights = predictor_tensors()
    norm = [640.0, 6, 2048, 6, 640, 6, 2048, 6, 6, 2]
    predictor = load_reference_predictor(save(tmp_path, OrderedDict(weights)), norm, 300)
    rows = np.random.default_rng(0).uniform(1, 700, (5, 10))
    hidden = torch.tensor(rows / norm, dtype=torch.float32)
    for name in ("first_layer", "layers.0", "layers.1", "layers.2"):
        hidden = nn.functional.linear(hidden, weights[f"{name}.weight"], weights[f"{name}.bias"]).relu()
    expected = nn.functional.linear(hidden, weights["predict.weight"], weights["predict.bias"])[:, 0] * 300
    np.testing.assert_allclose(predictor.predict(rows), expected, rtol=1e-4)
    np.testing.assert_allclose(predictor.predict(rows[1]), expected[1:2], rtol=1e-4)
    with pytest.raises(UserError, match="3 features; this predictor takes 10"):
        predictor.predict([1, 2, 3])


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("layers.1.bias", None, r"layers\.1\.bias is missing"),
        ("predict.weight", None, r"predict\.weight is missing"),
        ("predict.weight", torch.ones(2, 7), r"predict\.weight: shape \(2, 7\) with a bias of \(1,\)"),
        ("first_layer.weight", torch.ones(7, 9), r"first_layer\.weight: shape \(7, 9\)"),
        ("norm.weight", torch.ones(7), r"norm\.weight is not a predictor's"),
    ],
)
def test_other_tensors_are_refused(tmp_path: Path, name: str, tensor: Tensor | None, message: str) -> None:
    content = predictor_tensors()
    content.pop(name, None)
    if tensor is not None:
        content[name] = tensor
    with pytest.raises(UserError, match=rf"predictor\.pt: tensor {message}"):
        load_reference_predictor(save(tmp_path, content))


def test_other_files_are_refused(tmp_path: Path) -> None:
    for content in ([1], {"first_layer.weight": 3}):
        with pytest.raises(UserError, match="not a published checkpoint"):
            load_reference_predictor(save(tmp_path, content))
    with pytest.raises(UserError, match=r"refused: holds pathlib\.\w+"):
        load_reference_predictor(save(tmp_path, {"x": tmp_path}))
