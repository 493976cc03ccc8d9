"""The published code's YAML files: architectures, spaces, latency data, searches, trainings."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from hat.architecture import Architecture
from hat.errors import UserError, shown
from hat.files import read_yaml
from hat.interop.configuration import ATTENDED, DECODER_LISTS, ENCODER_LISTS, architecture_from_reference

# What the published spaces all have, and SubTransformer files leave to another file.
QKV_DIM = 512
# Where a file does not say: the published trainings of WMT ran on eight, those of IWSLT on one.
GPUS, IWSLT_GPUS = 8, 1
SUB, ALL = "_subtransformer", "_all_subtransformer"

# Settings that change what is learnt and that are not ours to choose.
FIXED: dict[str, object] = {
    "optimizer": "adam",
    "criterion": "label_smoothed_cross_entropy",
    "adam_betas": "(0.9, 0.98)",
    "activation_fn": "relu",
    "encoder_normalize_before": False,
    "decoder_normalize_before": False,
    "encoder_learned_pos": False,
    "decoder_learned_pos": False,
    "no_token_positional_embeddings": False,
    "vocab_original_scaling": False,
}
OF_SUB = {
    f"{side}_{what}"
    for side, lists in (("encoder", ENCODER_LISTS), ("decoder", DECODER_LISTS))
    for what in (f"embed_dim{SUB}", f"layer_num{SUB}", *(f"{name[8:]}{ALL}" for name in lists))
}
CHOICES = {
    "encoder_embed_choice": "encoder_embed_dim",
    "decoder_embed_choice": "decoder_embed_dim",
    "encoder_layer_num_choice": "encoder_layers",
    "decoder_layer_num_choice": "decoder_layers",
    "encoder_ffn_embed_dim_choice": "encoder_ffn_dim",
    "encoder_self_attention_heads_choice": "encoder_heads",
    "decoder_ffn_embed_dim_choice": "decoder_ffn_dim",
    "decoder_self_attention_heads_choice": "decoder_self_heads",
    "decoder_ende_attention_heads_choice": "decoder_cross_heads",
    "decoder_arbitrary_ende_attn_choice": "encoder_layers_attended",
}
# The SuperTransformer's own sizes: as large as the largest choices, which say it already.
LARGEST = {
    "encoder_embed_dim": "encoder_embed_choice",
    "decoder_embed_dim": "decoder_embed_choice",
    "encoder_ffn_embed_dim": "encoder_ffn_embed_dim_choice",
    "decoder_ffn_embed_dim": "decoder_ffn_embed_dim_choice",
    "encoder_layers": "encoder_layer_num_choice",
    "decoder_layers": "decoder_layer_num_choice",
    "encoder_attention_heads": "encoder_self_attention_heads_choice",
    "decoder_attention_heads": "decoder_self_attention_heads_choice",
}
# Section → their key → our key.
NUMBERS = {
    "training": {
        "max_update": "updates",
        "max_tokens": "batch_tokens",
        "warmup_updates": "warmup",
        "warmup_init_lr": "floor_learning_rate",
        "label_smoothing": "label_smoothing",
        "clip_norm": "clip_norm",
        "weight_decay": "weight_decay",
        "dropout": "dropout",
        "attention_dropout": "attention_dropout",
    },
    "measure": {"lat_dataset_size": "samples", "latiter": "rounds"},
    "search": {
        "population_size": "population",
        "parent_size": "parents",
        "mutation_size": "mutations",
        "mutation_prob": "mutation_probability",
        "crossover_size": "crossovers",
        "evo_iter": "iterations",
    },
    "evaluate": {"beam": "beam", "lenpen": "length_penalty"},
    "predictor": {
        "feature_dim": "features",
        "hidden_dim": "hidden_dim",
        "hidden_layer_num": "hidden_layers",
        "lat_norm": "latency_norm",
        "train_steps": "updates",
        "bsz": "batch",
    },
}


@dataclass(frozen=True)
class PublishedFile:
    """What a file says, in our terms.

    `sections`: recipe sections (`predictor` apart, which describes the published predictor's
    weights), as plain data that has still to be checked. `left`: settings without an equivalent.
    """

    architecture: Architecture | None
    sections: dict[str, Any]
    left: dict[str, object]


def read_published_yaml(path: Path, gpus: int | None = None, qkv_dim: int | None = None) -> PublishedFile:
    """Read one of the published code's YAML files, whichever it is.

    `gpus`: how many its training is meant for (their batches are added up); by default what the
    file says, else as published for its task. `qkv_dim`: where the file leaves it out; by default
    QKV_DIM. Raises UserError naming the file and the key.
    """
    settings = _Settings(str(path), read_yaml(path))
    settings.setdefault("qkv_dim", qkv_dim or QKV_DIM)
    try:
        return _convert(settings, gpus)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def published_architecture(settings: Mapping[str, object], qkv_dim: int = QKV_DIM) -> Architecture | None:
    """The SubTransformer that settings describe (of a YAML file, or a checkpoint's `args`), or None.

    `qkv_dim`: where the settings leave it out. Raises UserError naming the key.
    """
    given = {key: value for key, value in settings.items() if key in OF_SUB and value is not None}
    if not given:
        return None
    own = settings.get("qkv_dim") or qkv_dim
    sides = {
        "encoder": _side(given, "encoder", ENCODER_LISTS),
        "decoder": _side(given, "decoder", DECODER_LISTS),
    }
    return architecture_from_reference(sides, int(_number("qkv_dim", own)), "SubTransformer")


def _side(given: Mapping[str, object], side: str, lists: Sequence[str]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for name in (f"{side}_embed_dim", *lists):
        key = f"{name}{ALL if name in lists else SUB}"
        if key not in given:
            raise UserError(f"missing key {key.replace('_', '-')}")
        fields[name] = given[key]
    first = fields[lists[0]]
    depth = given.get(f"{side}_layer_num{SUB}", len(first) if isinstance(first, list) else None)
    return {**fields, f"{side}_layer_num": depth}


class _Settings(dict[str, object]):
    """A file's settings by their names in Python; what is read is taken out."""

    def __init__(self, where: str, value: object) -> None:
        if not isinstance(value, dict) or not value:
            raise UserError(f"{where}: expected a mapping of the published code's settings")
        super().__init__({str(key).replace("-", "_"): entry for key, entry in value.items()})

    def take(self, key: str, read: Callable[[str, object], Any]) -> Any:
        """The setting, checked by `read`, or None where it is absent."""
        value = self.pop(key, None)
        return None if value is None else read(key, value)


def _convert(settings: _Settings, gpus: int | None) -> PublishedFile:
    for key, only in FIXED.items():
        value = settings.pop(key, only)
        if str(value) != str(only):
            raise UserError(f"{key.replace('_', '-')}: {shown(value)}; only {only!r} is supported")
    architecture = published_architecture(settings)
    of_sub = bool(settings.take("train_subtransformer", _flag)) or architecture is not None
    sections = {
        "data": _data(settings),
        "space": _space(settings),
        "sub_training" if of_sub else "super_training": _training(settings, gpus),
        **{name: _numbers(settings, name) for name in ("measure", "search", "evaluate")},
        "predictor": _predictor(settings),
    }
    if (limit := settings.take("latency_constraint", _number)) is not None:
        sections["search"]["constraints"] = [f"{limit:g}ms"]
    left = {key: value for key, value in settings.items() if key not in OF_SUB | {"qkv_dim"}}
    filled = {name: section for name, section in sections.items() if section}
    if not filled and architecture is None:
        known = "…-subtransformer, …-choice, max-update, evo-iter, lat-dataset-size, feature-norm"
        raise UserError(f"none of its keys is one of the published code's that is known here ({known})")
    return PublishedFile(architecture, filled, left)


def _data(settings: _Settings) -> dict[str, Any]:
    section: dict[str, Any] = {}
    for key, name in (("source_lang", "source_language"), ("target_lang", "target_language")):
        if (value := settings.take(key, _text)) is not None:
            section[name] = value
    if (shared := settings.take("share_all_embeddings", _flag)) is not None:
        section["vocabulary"] = {"joint": shared}
    return section


def _space(settings: _Settings) -> dict[str, Any]:
    choices = {key: settings.take(key, _whole_numbers) for key in CHOICES if key in settings}
    for key, choice in LARGEST.items():
        if choice not in choices or max(choices[choice]) == settings.get(key):
            settings.pop(key, None)
    if not choices:
        return {}
    missing = [key.replace("_", "-") for key in CHOICES if key not in choices]
    if missing:
        raise UserError(f"missing key {', '.join(missing)}")
    space = {ours: choices[theirs] for theirs, ours in CHOICES.items()}
    for code in space["encoder_layers_attended"]:
        if code not in ATTENDED:
            raise UserError(f"decoder-arbitrary-ende-attn-choice: {code}; the choices are -1, 1, 2")
    space["encoder_layers_attended"] = [ATTENDED[code] for code in space["encoder_layers_attended"]]
    return {**space, "qkv_dim": settings.take("qkv_dim", _whole_numbers)}


def _training(settings: _Settings, gpus: int | None) -> dict[str, Any]:
    if "max_update" not in settings:
        settings.pop("max_tokens", None)  # of a measurement or a search: no training
        return {}
    section = _numbers(settings, "training")
    section.setdefault("clip_norm", 25)  # the published code's default
    schedule = settings.take("lr_scheduler", _text) or "fixed"
    peak = {"cosine": "max_lr", "inverse_sqrt": "lr"}.get(schedule)
    if peak is None:
        raise UserError(f"lr-scheduler: {shown(schedule)}; the choices are cosine, inverse_sqrt")
    section["schedule"] = schedule.replace("_", "-")
    section["learning_rate"] = settings.take(peak, _number)
    if section["learning_rate"] is None:
        raise UserError(f"missing key {peak.replace('_', '-')}")
    if settings.get("lr") is not None and _number("lr", settings["lr"]) == section.get("floor_learning_rate"):
        del settings["lr"]  # where the cosine ends
    published = IWSLT_GPUS if "iwslt" in str(settings.get("arch")) else GPUS
    devices = settings.take("distributed_world_size", _number) or published
    section["accumulate"] = int((settings.take("update_freq", _number) or 1) * (gpus or devices))
    if settings.take("fp16", _flag) is False:
        section["precision"] = "fp32"
    return section


def _predictor(settings: _Settings) -> dict[str, Any]:
    norm = settings.take("feature_norm", _whole_numbers)
    section = _numbers(settings, "predictor")
    return {**section, "feature_norm": norm} if norm else section


def _numbers(settings: _Settings, section: str) -> dict[str, Any]:
    found = {ours: settings.take(theirs, _number) for theirs, ours in NUMBERS[section].items()}
    return {key: value for key, value in found.items() if value is not None}


def _number(key: str, value: object) -> float:
    """A number; YAML reads 1e-7 as text, and lists of one are what the command line makes of options."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise UserError(f"{key.replace('_', '-')}: {shown(value)} is not a number")
    return value


def _whole_numbers(key: str, value: object) -> list[int]:
    values = value if isinstance(value, list) else [value]
    numbers = [one for one in values if isinstance(one, int) and not isinstance(one, bool)]
    if not values or len(numbers) < len(values):
        raise UserError(f"{key.replace('_', '-')}: {shown(value)} is not a list of whole numbers")
    return numbers


def _flag(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{key.replace('_', '-')}: {shown(value)} is not true or false")
    return value


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise UserError(f"{key.replace('_', '-')}: {shown(value)} is not a word")
    return value
