"""The training settings of the published code, as the training section of a recipe."""

from typing import Any

from hat.errors import UserError, shown
from hat.interop.published_options import (
    ARCHITECTURES,
    DEFAULTS,
    FIXED_TRAINING,
    PLAIN,
    SCHEDULES,
    check_fixed,
)
from hat.interop.published_settings import Settings, flag, number, text

# The default number of GPUs: the published trainings used eight on WMT, one on IWSLT.
GPUS, IWSLT_GPUS = 8, 1
# Key of the published code → key of a recipe.
NUMBERS = {
    "max_update": "updates",
    "max_tokens": "batch_tokens",
    "warmup_updates": "warmup",
    "label_smoothing": "label_smoothing",
    "clip_norm": "clip_norm",
    "weight_decay": "weight_decay",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
}


def training_section(settings: Settings, gpus: int | None) -> dict[str, Any]:
    """The training that the settings describe, as plain data; the settings used are removed from `settings`.

    `gpus`: the number of GPUs it is meant for; by default the settings' number, else the published one.
    Raises UserError naming a key that cannot be expressed.
    """
    arch = settings.get("arch") or PLAIN
    criterion = settings.get("criterion")
    for key, fixed in FIXED_TRAINING.items():
        check_fixed(key, settings.pop(key, None), fixed)
    if criterion != "label_smoothed_cross_entropy" and settings.has("label_smoothing"):
        raise UserError("label-smoothing: no option of the criterion cross_entropy")
    schedule = settings.take("lr_scheduler", text, "fixed")
    if schedule not in SCHEDULES:
        raise UserError(f"lr-scheduler: {shown(schedule)}; the choices are {', '.join(SCHEDULES)}")
    defaults = {**DEFAULTS["training"], **SCHEDULES[schedule], **ARCHITECTURES[str(arch)]}
    section = {ours: settings.take(theirs, number, defaults.get(theirs)) for theirs, ours in NUMBERS.items()}
    if section["batch_tokens"] is None:
        del section["batch_tokens"]  # the original has no default and requires the option
    section["schedule"] = schedule.replace("_", "-")
    section |= _learning_rates(settings, schedule, section["warmup"])
    _check_end(settings, section)
    section["accumulate"] = _accumulated(settings, gpus, IWSLT_GPUS if "iwslt" in str(arch) else GPUS)
    if (precision := _precision(settings)) != "auto":
        section["precision"] = precision
    return section


def _learning_rates(settings: Settings, schedule: str, warmup: float) -> dict[str, float]:
    """Peak and floor. The cosine ends at `lr`, and by default its warm-up starts there; the warm-up of the
    inverse square root starts at 0."""
    start = settings.take("warmup_init_lr", number, -1)
    lr = settings.take("lr", number, DEFAULTS["training"]["lr"])
    if schedule == "inverse_sqrt":
        if not warmup:
            raise UserError("warmup-updates: 0; inverse_sqrt needs a warm-up")
        return {"learning_rate": lr, "floor_learning_rate": max(start, 0)}
    peak = settings.take("max_lr", number)
    if peak is None:
        raise UserError("missing key max-lr")
    if peak <= lr:
        raise UserError(f"max-lr: {peak:g} is not more than lr, {lr:g}, where the cosine ends")
    if warmup and start >= 0 and start != lr:
        raise UserError(
            f"warmup-init-lr: {start:g}, but lr is {lr:g}: here the warm-up starts where the cosine ends"
        )
    return {"learning_rate": peak, "floor_learning_rate": lr}


def _check_end(settings: Settings, section: dict[str, Any]) -> None:
    """Raises UserError for `min_lr` that ends the training before its last update."""
    last, updates, warmup = section["floor_learning_rate"], section["updates"], section["warmup"]
    if section["schedule"] == "inverse-sqrt":
        last = section["learning_rate"] * (min(warmup / updates, 1) ** 0.5 if updates else 1)
    least = settings.take("min_lr", number, -1)
    if least > last:
        raise UserError(f"min-lr: {least:g} ends the training early; here it goes on to {last:g}")


def _accumulated(settings: Settings, gpus: int | None, published: int) -> int:
    devices = settings.take("distributed_world_size", number, published)
    batches = settings.take("update_freq", number, DEFAULTS["training"]["update_freq"]) * (gpus or devices)
    if batches < 1 or batches != int(batches):
        raise UserError(f"update-freq: {batches:g} batches of all GPUs are not a positive whole number")
    return int(batches)


def _precision(settings: Settings) -> str:
    asked = {
        kind: settings.take(kind, flag, DEFAULTS["training"][kind])
        for kind in ("fp16", "memory_efficient_fp16", "bf16", "memory_efficient_bf16")
    }
    half, brain = (asked[kind] or asked[f"memory_efficient_{kind}"] for kind in ("fp16", "bf16"))
    if half and brain:
        raise UserError("fp16 and bf16: both are True; only one can be")
    return "bf16" if brain else "auto" if half else "fp32"
