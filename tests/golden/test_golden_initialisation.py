"""A fresh SuperTransformer is drawn from the published distributions."""

from collections import defaultdict

import pytest
import torch

from hat.model import SuperTransformer
from tests.golden.golden_case import every_tag, published_name, read_json, read_network


@every_tag
def test_initialisation(tag: str) -> None:
    config = read_network(tag).config  # draws too, unless another test has read it before
    torch.manual_seed(0)
    parts = defaultdict(list)
    for name, parameter in SuperTransformer(config).largest.named_parameters():
        parts[published_name(name)].append(parameter.detach().flatten())
    recorded = read_json(f"{tag}_init_stats.json")
    for name, tensors in parts.items():
        values = torch.cat(tensors)
        _, _, deviation, largest = recorded[name]
        # Four standard errors of the difference between two samples.
        tolerance = 4 / values.numel() ** 0.5
        assert float(values.std()) == pytest.approx(deviation, rel=tolerance), name
        # The largest of a uniform sample is its bound, nearly; of a normal one it varies more.
        spread = 0.25 if "embed" in name else 0.01
        assert float(values.abs().max()) == pytest.approx(largest, rel=spread), name
        assert abs(float(values.mean() - recorded[name][1])) <= tolerance * max(deviation, 1e-9)


@every_tag
def test_pad_has_no_embedding(tag: str) -> None:
    network = SuperTransformer(read_network(tag).config)
    for name, parameter in network.largest.named_parameters():
        if name in ("embedding", "source_embedding", "target_embedding"):
            assert not parameter[1].any()
