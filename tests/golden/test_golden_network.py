"""Outputs, losses, gradients and size of every recorded SubTransformer."""

from ast import literal_eval
from collections import Counter
from math import prod

import pytest
import torch
from torch import Tensor

from hat.architecture import cost
from hat.interop import architecture_to_reference
from hat.interop.supertransformer import IGNORED
from hat.training.loss import label_smoothed_loss
from tests.golden.golden_case import (
    CASES,
    GOLDEN,
    TAGS,
    GoldenCase,
    every_case,
    every_tag,
    published_name,
    published_norms,
    read_case,
    read_json,
    read_network,
    without_dropout,
)

LOGITS = 1e-5  # absolute
LOSS, GRADIENT = 1e-6, 1e-5  # relative


@every_tag
def test_every_recorded_configuration_is_tested(tag: str) -> None:
    assert set(read_json(f"{tag}_meta.json")["configs"]) == set(CASES)
    recorded = {path.name for path in GOLDEN.glob("*.npz")}
    assert recorded == {f"{tag}_{case}.npz" for tag in TAGS for case in CASES}


@every_tag
def test_our_weights_are_all_of_a_published_checkpoint(tag: str) -> None:
    """Names with numbers of elements; what is stacked or shared in one of the two is counted once."""
    rows = [line.split("\t") for line in (GOLDEN / f"{tag}_state_dict.txt").read_text().splitlines()]
    published = {name: prod(literal_eval(shape)) for name, shape, _ in rows if not IGNORED.fullmatch(name)}
    if tag == "wmt":  # one embedding under two names
        del published["decoder.embed_tokens.weight"]
    ours: Counter[str] = Counter()
    for name, weight in read_network(tag).largest.named_parameters():
        ours[published_name(name)] += weight.numel()
    assert ours == published


@every_case
def test_fields_round_trip(tag: str, case: str) -> None:
    fields = read_json(f"{tag}_meta.json")["configs"][case]
    assert architecture_to_reference(read_case(tag, case).architecture) == fields


@every_case
def test_parameters(tag: str, case: str) -> None:
    golden = read_case(tag, case)
    assert cost(golden.architecture).parameters == golden.arrays["params"]


@every_case
@torch.no_grad()
def test_logits(tag: str, case: str) -> None:
    golden = read_case(tag, case)
    real = golden.target_out.ne(1)
    expected = golden.tensor("logits")[real]
    for logits in both_ways(golden, golden.source, golden.target_in):
        assert distance(logits[real], expected) <= LOGITS


@every_case
@torch.no_grad()
def test_logits_of_a_sentence_alone(tag: str, case: str) -> None:
    golden = read_case(tag, case)
    expected = golden.tensor("logits_first_alone")
    source, target_in = golden.source[:1], golden.target_in[:1, : expected.shape[1]]
    real = golden.target_out[:1, : expected.shape[1]].ne(1)
    for logits in both_ways(golden, source, target_in):
        assert distance(logits[real], expected[real]) <= LOGITS


@every_case
@pytest.mark.parametrize("side", ["source", "target"])
@torch.no_grad()
def test_padding_may_be_on_either_side(tag: str, case: str, side: str) -> None:
    golden = read_case(tag, case)
    source, target_in = golden.source, golden.target_in
    if side == "source":
        source = torch.stack([row.roll(int(row.eq(1).sum()) * -1) for row in source])
    else:
        target_in = torch.stack([row.roll(int(row.eq(1).sum())) for row in target_in])
    expected = golden.tensor("logits")[golden.target_in.ne(1)]
    for logits in both_ways(golden, source, target_in):
        assert distance(logits[target_in.ne(1)], expected) <= LOGITS


@every_case
@torch.no_grad()
def test_encoder_layers(tag: str, case: str) -> None:
    golden = read_case(tag, case)
    real = golden.source.ne(1)
    layers = golden.network.extract(golden.architecture).encode(golden.source).layers
    for index, layer in enumerate(layers):
        assert distance(layer[real], golden.tensor(f"encoder_layer_{index}")[real]) <= LOGITS
    assert distance(layers[-1][real], golden.tensor("encoder_out")[real]) <= LOGITS


@every_case
def test_losses_and_gradient_norms(tag: str, case: str) -> None:
    golden = read_case(tag, case)
    network = without_dropout(golden.network)
    logits = network(golden.architecture, golden.source, golden.target_in)
    nll = label_smoothed_loss(logits, golden.target_out, 0.0)
    loss = label_smoothed_loss(logits, golden.target_out, 0.1)
    assert loss.item() == pytest.approx(golden.arrays["loss_sum"].item(), rel=LOSS)
    assert nll.item() == pytest.approx(golden.arrays["nll_sum"].item(), rel=LOSS)
    loss.backward()
    gradients = [
        (name, parameter.grad)
        for name, parameter in network.largest.named_parameters()
        if parameter.grad is not None
    ]
    names, norms = golden.arrays["grad_names"].tolist(), golden.arrays["grad_norms"].tolist()
    assert published_norms(gradients) == pytest.approx(dict(zip(names, norms, strict=True)), rel=GRADIENT)


def both_ways(golden: GoldenCase, source: Tensor, target_in: Tensor) -> tuple[Tensor, Tensor]:
    """Logits on lent weights and of the extracted model."""
    extracted = golden.network.extract(golden.architecture)
    return golden.network(golden.architecture, source, target_in), extracted(source, target_in)


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max())
