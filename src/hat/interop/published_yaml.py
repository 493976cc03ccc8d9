"""The published code's YAML files: architectures, design spaces, latency data, searches, trainings.

A setting that a file leaves out has the original's default (`published_options`); settings of the original
that HAT cannot express are refused by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
    naming_record_lines,
    nested,
    read_content,
    schema_of,
)
from hat.errors import UserError, named, shown
from hat.interop.published_options import (
    DEFAULTS,
    FIXED,
    FIXED_TRAINING,
    IGNORED,
    NEEDED,
    WIDTH,
    WIDTHS,
    check_architecture_name,
    check_fixed,
)
from hat.interop.published_settings import Settings, flag, line_of_setting, number, text, whole_numbers
from hat.interop.published_training import NUMBERS as TRAINING_NUMBERS
from hat.interop.published_training import training_section

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
    """The content of a published file, in HAT's terms.

    `sections`: recipe sections (`predictor` apart, which describes the published predictor's
    weights), as plain data that has still to be checked. `left`: settings without an equivalent.
    `absent`: settings that the original needs and the file leaves out → the consequence here.
    """

    architecture: Architecture | None
    sections: dict[str, Any]
    left: dict[str, object]
    absent: dict[str, str] = field(default_factory=dict)


def read_published_yaml(path: Path, gpus: int | None = None, qkv_dim: int | None = None) -> PublishedFile:
    """Read a YAML file of the published code of any kind, or an architecture from its logs.

    `gpus`: the number of GPUs that its training is meant for (their batches are added up); by default the
    file's, else the published one for its task. `qkv_dim`: used if the file leaves it out; by default the
    width of its SuperTransformer's embeddings, else QKV_DIM. Raises UserError naming file, line and key.
    """
    content = read_content(path)
    if is_nested(content):
        with naming_record_lines(path):
            schema = schema_of(content, qkv_dim or QKV_DIM, f"{path}: architecture")
            return PublishedFile(Architecture.from_dict(schema, f"{path}: architecture"), {}, {})
    try:
        settings = Settings(content)
        _set_qkv_dim(settings, qkv_dim)
        return _convert(settings, gpus)
    except UserError as error:
        raise UserError(f"{path}:{line_of_setting(path, str(error))}: {error}") from error


def line_of_field(path: Path, section: str, key: str) -> int:
    """The line of the setting that became `key` of a recipe's section; 1 where the file has none."""
    theirs = {**CHOICES, **TRAINING_NUMBERS, **NUMBERS.get(section, {}), "latency_constraint": "constraints"}
    name = next((name for name, ours in theirs.items() if ours == key), key)
    return line_of_setting(path, f"{name.replace('_', '-')}: ")


def published_architecture(settings: Mapping[str, object], qkv_dim: int = QKV_DIM) -> Architecture | None:
    """The SubTransformer that the settings (of a YAML file, or a checkpoint's `args`) describe, or None.

    `qkv_dim`: used if the settings have none. Raises UserError naming the key, also for settings that
    describe more than a SubTransformer.
    """
    unknown = [key for key in settings if key.endswith(SUB) and key not in OF_SUB | NOT_OF_SUB]
    if unknown:
        raise UserError(f"unknown key {_dashed(unknown)}: no part of a SubTransformer as published")
    given = {key: value for key, value in settings.items() if key in OF_SUB and value is not None}
    if not given:
        return None
    where = "SubTransformer"
    [width, *_] = whole_numbers("qkv_dim", settings.get("qkv_dim") or qkv_dim)
    return Architecture.from_dict(schema_of(nested(given), width, where), where)


def _set_qkv_dim(settings: dict[str, object], given: int | None) -> None:
    """Set `qkv_dim` to the width of the embeddings, the original's default, if nothing else is given; a file
    without a whole SuperTransformer leaves it to another file."""
    if settings.get("qkv_dim") is not None:
        return
    dims = {settings.get(f"{side}_embed_dim") for side in ("encoder", "decoder")} - {None}
    if not dims and settings.get("arch") is not None:
        dims = {WIDTHS.get(str(settings["arch"]), WIDTH)}
    if given is None and len(dims) > 1:
        raise UserError("missing key qkv-dim, and the two sides' embeddings have different widths")
    settings["qkv_dim"] = given or (dims.pop() if dims else QKV_DIM)


def _convert(settings: Settings, gpus: int | None) -> PublishedFile:
    for key, fixed in FIXED.items():
        check_fixed(key, settings.pop(key, None), fixed)
    if settings.has("arch"):
        check_architecture_name(settings["arch"])
    architecture = published_architecture(settings)
    of_sub = bool(settings.take("train_subtransformer", flag)) or architecture is not None
    trains, searches = settings.has("max_update"), settings.has(*NUMBERS["search"])
    needed = {"max_tokens": trains, "latency_constraint": searches}
    absent = {key: NEEDED[key] for key, asked in needed.items() if asked and not settings.has(key)}
    sections: dict[str, Any] = {
        "data": _data(settings, trains or settings.has("arch")),
        "space": _space(settings),
        "sub_training" if of_sub else "super_training": training_section(settings, gpus) if trains else {},
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
    return PublishedFile(architecture, filled, left, absent)


def _check_left(left: Mapping[str, object], trains: bool) -> None:
    """Raises UserError for settings that are not read but would change the result."""
    if not trains and any(left.get(key) is not None for key in ("lr_scheduler", "max_epoch", "max_lr")):
        raise UserError("missing key max-update: a training here ends after that number of updates")
    harmless = IGNORED | LARGEST.keys()
    if not trains:
        harmless |= {*DEFAULTS["training"], *FIXED_TRAINING, *TRAINING_NUMBERS, "min_lr"}
    if unknown := [key for key in left if key not in harmless]:
        raise UserError(
            f"unknown key {_dashed(unknown)}: no option of the published code that can be expressed here; "
            "take it out if it changes nothing"
        )


def _dashed(keys: list[str]) -> str:
    return named(", ".join(key.replace("_", "-") for key in keys))


def _data(settings: Settings, of_network: bool) -> dict[str, Any]:
    """The data section. `of_network`: the file describes a network, whose embeddings may be shared."""
    section: dict[str, Any] = {}
    for key, name in (("source_lang", "source_language"), ("target_lang", "target_language")):
        if (value := settings.take(key, text)) is not None:
            section[name] = value
    shared = settings.take("share_all_embeddings", flag)
    if shared is None and of_network:
        shared = DEFAULTS["training"]["share_all_embeddings"]
    if settings.take("share_decoder_input_output_embed", flag) and not shared:
        raise UserError(
            "share-decoder-input-output-embed: True; here either all embeddings are shared "
            "(share-all-embeddings) or none are"
        )
    if shared is not None:
        section["vocabulary"] = {"joint": shared}
    return section


def _space(settings: Settings) -> dict[str, Any]:
    choices = {key: settings.take(key, whole_numbers) for key in CHOICES if key in settings}
    for key, choice in LARGEST.items():
        if choice not in choices or not settings.has(key):
            continue
        value, largest = settings.take(key, number), max(choices[choice])
        if value != largest:
            raise UserError(
                f"{_dashed([key])}: {shown(value)}, but the largest {_dashed([choice])} is {largest}: here a "
                "SuperTransformer is as large as its largest choices"
            )
    if not choices:
        return {}
    if missing := [key for key in CHOICES if key not in choices]:
        raise UserError(f"missing key {_dashed(missing)}")
    space = {ours: choices[theirs] for theirs, ours in CHOICES.items()}
    for code in space["encoder_layers_attended"]:
        if code not in ATTENDED:
            raise UserError(f"decoder-arbitrary-ende-attn-choice: {code}; the choices are -1, 1, 2")
    space["encoder_layers_attended"] = [ATTENDED[code] for code in space["encoder_layers_attended"]]
    return {**space, "qkv_dim": settings.take("qkv_dim", whole_numbers)}


def _search(settings: Settings) -> dict[str, Any]:
    section = _numbers(settings, "search")
    if (limit := settings.take("latency_constraint", number)) is not None:
        section["constraints"] = [f"{limit:g}ms"]
    return section


def _predictor(settings: Settings) -> dict[str, Any]:
    """The predictor's training; for a file about a search, only the norms."""
    trained = settings.has(*(DEFAULTS["predictor"].keys() - {"lat_norm"}))
    norm, scale = settings.take("feature_norm", whole_numbers), settings.take("lat_norm", number)
    section = _numbers(settings, "predictor", asked=True) if trained else {}
    if scale is not None:
        section["latency_norm"] = scale
    return {**section, "feature_norm": norm} if norm else section


def _numbers(settings: Settings, section: str, asked: bool = False) -> dict[str, Any]:
    """A section, if any of its settings is given or it is `asked` for; its other settings have the original's
    defaults."""
    if not asked and not settings.has(*NUMBERS[section]):
        return {}
    defaults = DEFAULTS[section]
    numbers = {
        ours: settings.take(theirs, number, defaults.get(theirs)) for theirs, ours in NUMBERS[section].items()
    }
    return {key: value for key, value in numbers.items() if value is not None}
