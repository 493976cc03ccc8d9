"""Published weights under our names."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from hat.architecture import DecoderLayer
from hat.errors import UserError
from hat.interop import load_reference_checkpoint
from hat.model import Dropout
from tests.interop.published_checkpoint import FFN, QKV, VOCAB, Save, published_args, published_tensors

NAN, INF = float("nan"), float("inf")


def test_sizes_come_from_the_tensors(save: Save) -> None:
    network = load_reference_checkpoint(str(save()))
    config = network.config
    assert (config.source_vocab, config.target_vocab, config.embeddings) == (VOCAB, VOCAB, "shared")
    assert config.architecture.qkv_dim == QKV
    assert [layer.ffn_dim for layer in config.architecture.encoder.layers] == list(FFN)
    assert [layer.self_heads for layer in config.architecture.decoder.layers] == [2, 2]
    assert network.dropout == Dropout(0.3, 0.1)
    assert not network.training


def test_projections_are_cut_and_stacked(save: Save) -> None:
    tensors = published_tensors()
    ours = load_reference_checkpoint(save(tensors)).largest.state_dict()
    weight = tensors["decoder.layers.1.encoder_attn.in_proj_weight"]
    bias = tensors["decoder.layers.1.encoder_attn.in_proj_bias"]
    assert torch.equal(ours["decoder.1.cross_attention.q.weight"][0], weight[:QKV])
    assert torch.equal(ours["decoder.1.cross_attention.kv.weight"][1], weight[2 * QKV :])
    assert torch.equal(ours["decoder.1.cross_attention.kv.bias"].flatten(), bias[QKV:])
    weight = tensors["encoder.layers.0.self_attn.in_proj_weight"]
    assert torch.equal(ours["encoder.0.self_attention.qkv.weight"].flatten(0, 1), weight)


def test_widths_may_differ_between_the_sides(save: Save) -> None:
    tensors = published_tensors(encoder_dim=12, decoder_dim=10)
    network = load_reference_checkpoint(save(tensors))
    kv = network.largest.state_dict()["decoder.0.cross_attention.kv.weight"]
    assert torch.equal(kv[0], tensors["decoder.layers.0.encoder_attn.k_proj_weight"])
    assert torch.equal(kv[1], tensors["decoder.layers.0.encoder_attn.v_proj_weight"])
    # Without an output matrix of its own the target's serves for both.
    ours = network.largest.state_dict()
    assert torch.equal(ours["output_embedding"], ours["target_embedding"])


def test_separate_embeddings(save: Save) -> None:
    tensors = published_tensors() | {"decoder.embed_out": torch.randn(VOCAB, 12)}
    network = load_reference_checkpoint(save(tensors))
    assert network.config.embeddings == "separate"
    ours = network.largest.state_dict()
    assert torch.equal(ours["output_embedding"], tensors["decoder.embed_out"])
    assert torch.equal(ours["source_embedding"], tensors["encoder.embed_tokens.weight"])


def test_half_precision_becomes_float32_and_runs(save: Save) -> None:
    halves = {name: tensor.half() for name, tensor in published_tensors().items()}
    network = load_reference_checkpoint(save(halves))
    architecture = network.config.architecture
    decoder = replace(architecture.decoder, layers=(DecoderLayer(3, 4, 2, 2),))
    model = network.extract(replace(architecture, decoder=decoder))
    logits = model(torch.tensor([[1, 5, 2]]), torch.tensor([[2, 7]]))
    assert (logits.shape, logits.dtype) == ((1, 2, VOCAB), torch.float32)


@pytest.mark.parametrize(
    "name",
    ["encoder.embed_tokens.weight", "encoder.layers.1.fc1.weight", "decoder.layers.0.fc2.bias"],
)
def test_missing_tensors_are_named(save: Save, name: str) -> None:
    tensors = published_tensors()
    del tensors[name]
    with pytest.raises(UserError, match=f"{name} is missing"):
        load_reference_checkpoint(save(tensors))


def test_missing_projections_are_named(save: Save) -> None:
    tensors = published_tensors()
    del tensors["decoder.layers.1.encoder_attn.in_proj_weight"]
    with pytest.raises(UserError, match=r"decoder\.layers\.1\.encoder_attn\.q_proj_weight is miss"):
        load_reference_checkpoint(save(tensors))


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("decoder.layers.0.fc1.bias", (7,), r"shape \(7,\), expected \(6,\)"),
        ("decoder.layers.0.fc1.weight", (7,), r"shape \(7,\), expected a matrix"),
        ("decoder.layers.0.self_attn.in_proj_weight", (23, 12), "expected three equal parts"),
        ("encoder.layers.1.self_attn.in_proj_weight", (27, 12), r"expected \(8, 12\)"),
        ("encoder.layer_norm.weight", (12,), r"unexpected tensors, 1 in all: encoder\.layer_norm"),
    ],
)
def test_unexpected_shapes_and_names_are_refused(
    save: Save, name: str, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        load_reference_checkpoint(save(published_tensors() | {name: torch.ones(shape)}))


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"encoder_normalize_before": True}, "encoder_normalize_before = True; only False"),
        ({"activation_fn": "gelu"}, "activation_fn = 'gelu'; only 'relu'"),
        ({"adaptive_input": True}, "adaptive_input = True; only False"),
        (
            {"arch": "transformersuper_wmt_en_de_moe"},
            "arch: 'transformersuper_wmt_en_de_moe'; the",
        ),
        ({"encoder_n_experts": [2, 1]}, r"encoder_n_experts: \[2, 1\]: a mixture of experts"),
        ({"dropout": None}, "setting dropout is None"),
        *(
            ({"dropout": value}, "setting dropout is .*, expected a number")
            for value in (NAN, INF, -1, 1e308, True)
        ),
        *(
            ({"encoder_attention_heads": value}, "setting encoder_attention_heads is ")
            for value in (NAN, INF, 2.5)
        ),
        ({"encoder_attention_heads": 3}, "3 heads do not divide qkv_dim 8"),
    ],
)
def test_settings_ours_cannot_follow_are_refused(save: Save, args: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_reference_checkpoint(save(args=published_args(**args)))


def test_no_experts_are_as_good_as_none(save: Save) -> None:
    args = published_args(encoder_n_experts=None, moe_freq=0, arch="transformersuper_iwslt_de_en")
    assert load_reference_checkpoint(save(args=args)).config.source_vocab == VOCAB
