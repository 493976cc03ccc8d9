"""The published code's YAML files: architectures, spaces, latency data, searches, trainings.

A setting that a file leaves out has the original's default (`published_options`); what the original has
and HAT cannot express is refused by name.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hat.architecture import Architecture
from hat.architecture.published import (
    ATTENDED,
    NOT_OF_SUB,
    OF_SUB,
    QKV_DIM,
    SUB,
    is_nested,
    nested,
    read_content,
    schema_of,
)
from hat.errors import UserError, named, shown
from hat.interop.published_options import (
    ALIASES,
    ARCHITECTURES,
    DEFAULTS,
    FIXED,
    FIXED_TRAINING,
    IGNORED,
    PLAIN,
    SCHEDULES,
    check_architecture_name,
    check_fixed,
)

# Where a file does not say: the published trainings of WMT ran on eight, those of IWSLT on one.
GPUS, IWSLT_GPUS = 8, 1
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
        "valid_cnt_max": "validation_sentences",
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
    """Read one of the published code's YAML files, whichever it is, or an architecture of its logs.

    `gpus`: how many its training is meant for (their batches are added up); by default what the
    file says, else as published for its task. `qkv_dim`: where the file leaves it out; by default the
    width of its SuperTransformer's embeddings, else QKV_DIM. Raises UserError naming the file and the key.
    """
    content = read_content(path)
    if is_nested(content):
        schema = schema_of(content, qkv_dim or QKV_DIM, str(path))
        return PublishedFile(Architecture.from_dict(schema, f"{path}: architecture"), {}, {})
    settings = _Settings(str(path), content)
    try:
        _set_qkv_dim(settings, qkv_dim)
        return _convert(settings, gpus)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def published_architecture(settings: Mapping[str, object], qkv_dim: int = QKV_DIM) -> Architecture | None:
    """The SubTransformer that settings describe (of a YAML file, or a checkpoint's `args`), or None.

    `qkv_dim`: where the settings leave it out. Raises UserError naming the key, for one that describes
    more than a SubTransformer has too.
    """
    unknown = [key for key in settings if key.endswith(SUB) and key not in OF_SUB | NOT_OF_SUB]
    if unknown:
        raise UserError(f"unknown key {_dashed(unknown)}: no part of a SubTransformer as published")
    given = {key: value for key, value in settings.items() if key in OF_SUB and value is not None}
    if not given:
        return None
    where = "SubTransformer"
    own = int(_number("qkv_dim", settings.get("qkv_dim") or qkv_dim))
    return Architecture.from_dict(schema_of(nested(given), own, where), where)


def _set_qkv_dim(settings: dict[str, object], told: int | None) -> None:
    """As wide as the embeddings where nobody says: the original's default. A file without a whole
    SuperTransformer leaves the width to another."""
    if settings.get("qkv_dim") is not None:
        return
    dims = {settings.get(f"{side}_embed_dim") for side in ("encoder", "decoder")} - {None}
    if told is None and len(dims) > 1:
        raise UserError("missing key qkv-dim, and the two sides' embeddings have different widths")
    settings["qkv_dim"] = told or (dims.pop() if dims else QKV_DIM)


class _Settings(dict[str, object]):
    """A file's settings by their names in Python; what is read is taken out."""

    def __init__(self, where: str, value: object) -> None:
        if not isinstance(value, dict) or not value:
            raise UserError(f"{where}: expected a mapping of the published code's settings")
        super().__init__()
        for key, entry in value.items():
            name = str(key).replace("-", "_")
            name = ALIASES.get(name, name)
            if name in self:
                raise UserError(f"{where}: {named(key)}: says again what another key says")
            self[name] = entry

    def take(self, key: str, read: Callable[[str, object], Any], default: Any = None) -> Any:
        """The setting, checked by `read`, or `default` where it is absent."""
        value = self.pop(key, None)
        return default if value is None else read(key, value)

    def has(self, *keys: str) -> bool:
        """Whether any of them is given."""
        return any(self.get(key) is not None for key in keys)


def _convert(settings: _Settings, gpus: int | None) -> PublishedFile:
    for key, fixed in FIXED.items():
        check_fixed(key, settings.pop(key, None), fixed)
    if settings.has("arch"):
        check_architecture_name(settings["arch"])
    architecture = published_architecture(settings)
    of_sub = bool(settings.take("train_subtransformer", _flag)) or architecture is not None
    trains = settings.has("max_update")
    sections: dict[str, Any] = {
        "data": _data(settings, trains or settings.has("arch")),
        "space": _space(settings),
        "sub_training" if of_sub else "super_training": _training(settings, gpus) if trains else {},
        "measure": _numbers(settings, "measure", settings.has("latcpu", "latgpu")),
        "search": _search(settings),
        "evaluate": _numbers(settings, "evaluate"),
        "predictor": _predictor(settings),
    }
    left = {key: value for key, value in settings.items() if key not in OF_SUB | {"qkv_dim"}}
    filled = {name: section for name, section in sections.items() if section}
    if not filled and architecture is None:
        known = "…-subtransformer, …-choice, max-update, evo-iter, lat-dataset-size, feature-norm"
        raise UserError(f"none of its keys is one of the published code's that is known here ({known})")
    _check_left(left, trains)
    return PublishedFile(architecture, filled, left)


def _check_left(left: Mapping[str, object], trains: bool) -> None:
    """Raises UserError for what cannot be left out without importing something else."""
    if not trains and any(left.get(key) is not None for key in ("lr_scheduler", "max_epoch", "max_lr")):
        raise UserError("missing key max-update: a training here ends after so many updates")
    harmless = IGNORED | LARGEST.keys()
    if not trains:
        harmless |= {*DEFAULTS["training"], *FIXED_TRAINING, *NUMBERS["training"]}
    if unknown := [key for key in left if key not in harmless]:
        raise UserError(
            f"unknown key {_dashed(unknown)}: no option of the published code that can be expressed here; "
            "take it out if it changes nothing"
        )


def _dashed(keys: list[str]) -> str:
    return named(", ".join(key.replace("_", "-") for key in keys))


def _data(settings: _Settings, of_network: bool) -> dict[str, Any]:
    """`of_network`: whether the file is about a network, whose embeddings are one or are not."""
    section: dict[str, Any] = {}
    for key, name in (("source_lang", "source_language"), ("target_lang", "target_language")):
        if (value := settings.take(key, _text)) is not None:
            section[name] = value
    shared = settings.take("share_all_embeddings", _flag)
    if shared is None and of_network:
        shared = DEFAULTS["training"]["share_all_embeddings"]
    if settings.take("share_decoder_input_output_embed", _flag) and not shared:
        raise UserError(
            "share-decoder-input-output-embed: True; here either all embeddings are one "
            "(share-all-embeddings) or none is another's"
        )
    if shared is not None:
        section["vocabulary"] = {"joint": shared}
    return section


def _space(settings: _Settings) -> dict[str, Any]:
    choices = {key: settings.take(key, _whole_numbers) for key in CHOICES if key in settings}
    for key, choice in LARGEST.items():
        if choice not in choices or not settings.has(key):
            continue
        value, largest = settings.take(key, _number), max(choices[choice])
        if value != largest:
            raise UserError(
                f"{key.replace('_', '-')}: {shown(value)}, but the largest {choice.replace('_', '-')} is "
                f"{largest}: here a SuperTransformer is as large as its largest choices"
            )
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
    arch = settings.get("arch") or PLAIN
    criterion = settings.get("criterion")
    for key, fixed in FIXED_TRAINING.items():
        check_fixed(key, settings.pop(key, None), fixed)
    if criterion != "label_smoothed_cross_entropy" and settings.has("label_smoothing"):
        raise UserError("label-smoothing: no option of the criterion cross_entropy")
    schedule = settings.take("lr_scheduler", _text, "fixed")
    if schedule not in SCHEDULES:
        raise UserError(f"lr-scheduler: {shown(schedule)}; the choices are {', '.join(SCHEDULES)}")
    defaults = {**DEFAULTS["training"], **SCHEDULES[schedule], **ARCHITECTURES[str(arch)]}
    section = {
        ours: settings.take(theirs, _number, defaults.get(theirs))
        for theirs, ours in NUMBERS["training"].items()
    }
    if section["batch_tokens"] is None:
        del section["batch_tokens"]  # the original has no default: it wants to be told
    section["schedule"] = schedule.replace("_", "-")
    section |= _learning_rates(settings, schedule, section["warmup"])
    section["accumulate"] = _accumulated(settings, gpus, IWSLT_GPUS if "iwslt" in str(arch) else GPUS)
    if (precision := _precision(settings)) != "auto":
        section["precision"] = precision
    return section


def _learning_rates(settings: _Settings, schedule: str, warmup: float) -> dict[str, float]:
    """Peak and floor. The cosine ends at `lr`, and the warm-up starts there unless told otherwise, the
    inverse square root's at 0."""
    start = settings.take("warmup_init_lr", _number, -1)
    lr = settings.take("lr", _number, DEFAULTS["training"]["lr"])
    if schedule == "inverse_sqrt":
        if not warmup:
            raise UserError("warmup-updates: 0; inverse_sqrt needs a warm-up")
        return {"learning_rate": lr, "floor_learning_rate": max(start, 0)}
    peak = settings.take("max_lr", _number)
    if peak is None:
        raise UserError("missing key max-lr")
    if peak <= lr:
        raise UserError(f"max-lr: {peak:g} is not more than lr, {lr:g}, where the cosine ends")
    if warmup and start >= 0 and start != lr:
        raise UserError(
            f"warmup-init-lr: {start:g}, but lr is {lr:g}: here the warm-up starts where the cosine ends"
        )
    return {"learning_rate": peak, "floor_learning_rate": lr}


def _accumulated(settings: _Settings, gpus: int | None, published: int) -> int:
    devices = settings.take("distributed_world_size", _number, published)
    batches = settings.take("update_freq", _number, DEFAULTS["training"]["update_freq"]) * (gpus or devices)
    if batches < 1 or batches != int(batches):
        raise UserError(f"update-freq: {batches:g} batches of all GPUs are not a positive whole number")
    return int(batches)


def _precision(settings: _Settings) -> str:
    asked = {
        kind: settings.take(kind, _flag, DEFAULTS["training"][kind])
        for kind in ("fp16", "memory_efficient_fp16", "bf16", "memory_efficient_bf16")
    }
    half, brain = (asked[kind] or asked[f"memory_efficient_{kind}"] for kind in ("fp16", "bf16"))
    if half and brain:
        raise UserError("fp16 and bf16: both are True; only one can be")
    return "bf16" if brain else "auto" if half else "fp32"


def _search(settings: _Settings) -> dict[str, Any]:
    section = _numbers(settings, "search")
    if (limit := settings.take("latency_constraint", _number)) is not None:
        section["constraints"] = [f"{limit:g}ms"]
    return section


def _predictor(settings: _Settings) -> dict[str, Any]:
    """The predictor's training, or of a search the norms alone."""
    trained = settings.has(*(DEFAULTS["predictor"].keys() - {"lat_norm"}))
    norm, scale = settings.take("feature_norm", _whole_numbers), settings.take("lat_norm", _number)
    section = _numbers(settings, "predictor", trained)
    if not trained:
        section = {}
    if scale is not None:
        section["latency_norm"] = scale
    return {**section, "feature_norm": norm} if norm else section


def _numbers(settings: _Settings, section: str, asked: bool = False) -> dict[str, Any]:
    """A section of which any setting is given, or that is `asked` for otherwise; the others have the
    original's defaults."""
    if not asked and not settings.has(*NUMBERS[section]):
        return {}
    defaults = DEFAULTS[section]
    found = {
        ours: settings.take(theirs, _number, defaults.get(theirs))
        for theirs, ours in NUMBERS[section].items()
    }
    return {key: value for key, value in found.items() if value is not None}


def _number(key: str, value: object) -> float:
    """A number; YAML reads 1e-7 as text, and lists of one are what the command line makes of options."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        with suppress(ValueError):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
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
