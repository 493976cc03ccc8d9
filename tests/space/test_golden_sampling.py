"""A seed samples the configuration that the published code samples (REFERENCE item 13)."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from hat.architecture import Architecture
from hat.space import DesignSpace

HEADS = {"wmt": (8, 4), "iwslt": (4, 2)}


@pytest.mark.parametrize("tag", ["wmt", "iwslt"])
def test_first_fifty_seeds(tag: str, shared: Path) -> None:
    space = DesignSpace(
        encoder_embed_dim=(40, 32),
        decoder_embed_dim=(40, 32),
        encoder_layers=(3,),
        decoder_layers=(3, 2, 1),
        encoder_ffn_dim=(96, 64, 32),
        encoder_heads=HEADS[tag],
        decoder_ffn_dim=(96, 64, 32),
        decoder_self_heads=HEADS[tag],
        decoder_cross_heads=HEADS[tag],
        encoder_layers_attended=(1, 2, 3),
        qkv_dim=(32,),
    )
    text = (shared / "golden" / f"{tag}_sampled_configs_seed0-49.json").read_text()
    published = [published_architecture(config, 32) for config in json.loads(text)]
    assert len(published) == 50
    assert [space.sample(random.Random(seed)) for seed in range(50)] == published


def published_architecture(config: dict[str, Any], qkv_dim: int) -> Architecture:
    encoder, decoder = config["encoder"], config["decoder"]
    attended = {-1: 1, 1: 2, 2: 3}
    encoder_layers = zip(
        encoder["encoder_ffn_embed_dim"], encoder["encoder_self_attention_heads"], strict=True
    )
    # The attention spans are listed for the deepest decoder, whatever the depth sampled.
    decoder_layers = zip(
        decoder["decoder_ffn_embed_dim"],
        decoder["decoder_self_attention_heads"],
        decoder["decoder_ende_attention_heads"],
        decoder["decoder_arbitrary_ende_attn"],
        strict=False,
    )
    return Architecture.from_dict(
        {
            "qkv_dim": qkv_dim,
            "encoder": {
                "embed_dim": encoder["encoder_embed_dim"],
                "layers": [{"ffn_dim": ffn, "heads": heads} for ffn, heads in encoder_layers],
            },
            "decoder": {
                "embed_dim": decoder["decoder_embed_dim"],
                "layers": [
                    {
                        "ffn_dim": ffn,
                        "self_heads": heads,
                        "cross_heads": cross_heads,
                        "encoder_layers_attended": attended[span],
                    }
                    for ffn, heads, cross_heads, span in decoder_layers
                ],
            },
        }
    )
