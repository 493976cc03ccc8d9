"""The published code's YAML settings: a whole set, from the facts of the published models."""

from typing import Any

from hat.architecture import Architecture
from hat.interop import architecture_to_reference

MODEL = {
    "encoder-embed-dim": 640,
    "decoder-embed-dim": 640,
    "encoder-ffn-embed-dim": 3072,
    "decoder-ffn-embed-dim": 3072,
    "encoder-layers": 6,
    "decoder-layers": 6,
    "encoder-attention-heads": 8,
    "decoder-attention-heads": 8,
    "qkv-dim": 512,
}
CHOICES = {
    "encoder-embed-choice": [640, 512],
    "decoder-embed-choice": [640, 512],
    "encoder-ffn-embed-dim-choice": [3072, 2048, 1024],
    "decoder-ffn-embed-dim-choice": [3072, 2048, 1024],
    "encoder-layer-num-choice": [6],
    "decoder-layer-num-choice": [6, 5, 4, 3, 2, 1],
    "encoder-self-attention-heads-choice": [8, 4],
    "decoder-self-attention-heads-choice": [8, 4],
    "decoder-ende-attention-heads-choice": [8, 4],
    "decoder-arbitrary-ende-attn-choice": [-1, 1, 2],
}
LOGGING = {"keep-last-epochs": 20, "save-interval": 1, "validate-interval": 1}
WMT_TRAINING = {
    "arch": "transformersuper_wmt_en_de",
    "share-all-embeddings": True,
    "max-tokens": 4096,
    "data": "data/binary/wmt16_en_de",
    "optimizer": "adam",
    "adam-betas": "(0.9, 0.98)",
    "clip-norm": 0.0,
    "weight-decay": 0.0,
    "dropout": 0.3,
    "attention-dropout": 0.1,
    "criterion": "label_smoothed_cross_entropy",
    "label-smoothing": 0.1,
    "ddp-backend": "no_c10d",
    "fp16": True,
    "update-freq": 16,
    "max-update": 40000,
    "warmup-updates": 10000,
    "lr-scheduler": "cosine",
    "warmup-init-lr": "1e-7",  # which YAML takes for text
    "max-lr": 0.001,
    "lr": "1e-7",
    "lr-shrink": 1,
    **LOGGING,
}
IWSLT_TRAINING = {
    "train-subtransformer": True,
    "arch": "transformersuper_iwslt_de_en",
    "max-tokens": 4096,
    "source-lang": "de",
    "target-lang": "en",
    "optimizer": "adam",
    "adam-betas": "(0.9, 0.98)",
    "weight-decay": 0.0001,
    "dropout": 0.375,
    "criterion": "label_smoothed_cross_entropy",
    "label-smoothing": 0.1,
    "fp16": False,
    "max-update": 50000,
    "warmup-updates": 4000,
    "lr-scheduler": "inverse_sqrt",
    "warmup-init-lr": "1e-7",
    "lr": 0.0005,
    **LOGGING,
}
LATENCY = {
    "lat-dataset-path": "./latency_dataset/wmt14ende_cpu_xeon.csv",
    "lat-dataset-size": 2000,
    "latcpu": True,
    "latiter": 20,
    "max-tokens": 4096,
    **MODEL,
    **CHOICES,
    "encoder-ffn-embed-dim-choice": [3072, 2048, 1024, 512],
}
SEARCH = {
    "evo-iter": 30,
    "population-size": 125,
    "parent-size": 25,
    "mutation-size": 50,
    "crossover-size": 50,
    "mutation-prob": 0.3,
    "feature-norm": [640, 6, 2048, 6, 640, 6, 2048, 6, 6, 2],
    "lat-norm": 300,
    "restore-file": "./super.pt",
    "latency-constraint": 200,
}
PREDICTOR = {
    "lat-dataset-path": "./latency_dataset/wmt14ende_cpu_xeon_all.csv",
    "feature-norm": [640, 6, 2048, 6, 640, 6, 2048, 6, 6, 2],
    "lat-norm": 300,
    "feature-dim": 10,
    "hidden-dim": 400,
    "hidden-layer-num": 3,
    "ckpt-path": "./latency_dataset/predictors/wmt14ende_cpu_xeon.pt",
    "train-steps": 5000,
    "bsz": 128,
    "lr": "1e-5",
}


def subtransformer(architecture: Architecture) -> dict[str, Any]:
    """As the published search writes a SubTransformer (`qkv-dim` is left to another file)."""
    fields = architecture_to_reference(architecture)
    flat = {name: value for side in fields.values() for name, value in side.items()}
    return {
        f"{name.replace('_', '-')}{'-all' if isinstance(value, list) else ''}-subtransformer": value
        for name, value in flat.items()
    }
