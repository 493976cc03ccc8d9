"""The options of the published code that importers know: their defaults, and the values that HAT supports.

Source: the published argument parsers (fairseq 0.8 and HAT's additions), in `fairseq/options.py`,
`fairseq/models/transformer_super.py`, the criterion, Adam, the two schedules, `evo_search.py`,
`latency_dataset.py` and `latency_predictor.py`.
"""

from typing import NamedTuple

from hat.errors import UserError, shown

# Alternative names of options → name.
ALIASES = {
    "learning_rate": "lr",
    "wd": "weight_decay",
    "mu": "max_update",
    "me": "max_epoch",
    "batch_size": "max_sentences",
    "relu_dropout": "activation_dropout",
    "local_rank": "device_id",
}
# Values that `arch` sets if the file does not. Other values of `arch`, such as pre-norm ones, are refused.
ARCHITECTURES: dict[str, dict[str, float]] = {
    "transformersuper": {"dropout": 0.1, "attention_dropout": 0.0},
    "transformersuper_iwslt_de_en": {"dropout": 0.1, "attention_dropout": 0.0},
    "transformersuper_wmt_en_de": {"dropout": 0.1, "attention_dropout": 0.0},
    "transformersuper_wmt_en_fr": {"dropout": 0.1, "attention_dropout": 0.0},
    "transformersuper_vaswani_wmt_en_de_big": {"dropout": 0.3, "attention_dropout": 0.0},
    "transformersuper_vaswani_wmt_en_fr_big": {"dropout": 0.1, "attention_dropout": 0.0},
    "transformersuper_wmt_en_de_big": {"dropout": 0.3, "attention_dropout": 0.1},
}
PLAIN = "transformersuper"
# The width of both sides' embeddings: WIDTH, unless `arch` is in WIDTHS or the file sets it.
WIDTH = 512
WIDTHS = {name: 1024 for name in ARCHITECTURES if name.endswith("_big")}
# Options that the original needs and that have no working default there: option → the consequence here.
NEEDED = {
    "max_tokens": "the original refuses a training without; HAT takes its own batch_tokens",
    "latency_constraint": "the original's default, -1, admits no model; HAT takes its own constraints",
}
SCHEDULES: dict[str, dict[str, float]] = {
    "cosine": {"warmup_updates": 0},
    "inverse_sqrt": {"warmup_updates": 4000},
}
# Options that are read: section → name → the original's default. `arch` and the schedule are read separately.
DEFAULTS: dict[str, dict[str, float | bool]] = {
    "training": {
        "lr": 0.25,
        "label_smoothing": 0.0,
        "clip_norm": 25.0,
        "weight_decay": 0.0,
        "update_freq": 1,
        "fp16": False,
        "memory_efficient_fp16": False,
        "bf16": False,  # this and the next are options of a later fairseq
        "memory_efficient_bf16": False,
        "share_all_embeddings": False,
    },
    "measure": {"lat_dataset_size": 200, "latiter": 300},
    "search": {
        "population_size": 125,
        "parent_size": 25,
        "mutation_size": 50,
        "mutation_prob": 0.3,
        "crossover_size": 50,
        "evo_iter": 30,
        "valid_cnt_max": 10**9,  # all
    },
    "evaluate": {"beam": 5, "lenpen": 1.0},
    "predictor": {
        "feature_dim": 10,
        "hidden_dim": 400,
        "hidden_layer_num": 3,
        "lat_norm": 200,
        "train_steps": 5000,
        "bsz": 128,
    },
}


class Fixed(NamedTuple):
    """An option with one meaning in HAT: the original's default, and the values with that meaning."""

    default: object
    supported: tuple[object, ...]

    def allows(self, value: object) -> bool:
        """True if `value` (None: left out) is supported."""
        value = self.default if value is None else value
        return _plain(value) in map(_plain, self.supported)

    def choices(self) -> str:
        """The supported values, for a message."""
        return " or ".join(map(repr, self.supported))


def _only(**defaults: object) -> dict[str, Fixed]:
    """Options of which only the original's default is supported."""
    return {name: Fixed(default, (default,)) for name, default in defaults.items()}


# Options of the network.
FIXED_NETWORK: dict[str, Fixed] = {
    **_only(activation_fn="relu", encoder_normalize_before=False, decoder_normalize_before=False),
    "no_decoder_final_norm": Fixed(False, (False, True)),  # post-norm networks have none
    **_only(encoder_learned_pos=False, decoder_learned_pos=False, no_token_positional_embeddings=False),
    **_only(vocab_original_scaling=False, adaptive_input=False, adaptive_softmax_cutoff=None),
}
# Options of all files: of the network, its initial weights, and decoding.
FIXED: dict[str, Fixed] = {
    **FIXED_NETWORK,
    **_only(task="translation", activation_dropout=0.0, adaptive_softmax_dropout=0.0),
    **_only(encoder_embed_path=None, decoder_embed_path=None, left_pad_source=True, left_pad_target=False),
    **_only(max_len_a=0.0, max_len_b=200, min_len=1.0, match_source_len=False),
    **_only(unnormalized=False, unkpen=0.0, replace_unk=None, prefix_size=0, no_repeat_ngram_size=0),
    **_only(sampling=False, sampling_topk=-1, sampling_topp=-1.0, temperature=1.0),
    **_only(diverse_beam_groups=-1, score_reference=False),
}
# Options of a training.
FIXED_TRAINING: dict[str, Fixed] = {
    "optimizer": Fixed("nag", ("adam",)),
    "adam_betas": Fixed("(0.9, 0.999)", ("(0.9, 0.98)",)),
    "criterion": Fixed("cross_entropy", ("label_smoothed_cross_entropy", "cross_entropy")),
    **_only(adam_eps=1e-8, max_epoch=0, max_sentences=None, sentence_avg=False, use_bmuf=False),
    **_only(curriculum=0, train_subset="train", upsample_primary=1, t_mult=1.0, lr_period_updates=-1.0),
}
# Options without influence on the result of a training or translation: logs, folders, processes, files kept.
IGNORED = {
    *("arch", "seed", "cpu", "pdb", "configs", "sub_configs", "evo_configs", "data", "dataset_path"),
    *("no_progress_bar", "log_interval", "log_format", "tensorboard_logdir", "tbmf_wrapper", "quiet"),
    *("fp16_init_scale", "fp16_scale_window", "fp16_scale_tolerance", "min_loss_scale"),
    *("threshold_loss_scale", "num_workers", "skip_invalid_size_inputs_valid_test", "dataset_impl"),
    *("required_batch_size_multiple", "lazy_load", "raw_text", "max_tokens_valid", "max_sentences_valid"),
    *("max_source_positions", "max_target_positions", "valid_subset", "validate_interval"),
    *("disable_validation", "gen_subset", "num_shards", "shard_id", "distributed_rank"),
    *("distributed_backend", "distributed_init_method", "distributed_port", "distributed_no_spawn"),
    *("device_id", "ddp_backend", "bucket_cap_mb", "fix_batches_to_gpus", "find_unused_parameters"),
    *("lr_shrink", "save_dir", "restore_file", "reset_dataloader", "reset_lr_scheduler"),
    *("reset_meters", "reset_optimizer", "optimizer_overrides", "save_interval", "save_interval_updates"),
    *("keep_interval_updates", "keep_last_epochs", "no_save", "no_epoch_checkpoints"),
    *("no_last_checkpoints", "no_save_optimizer_state", "best_checkpoint_metric"),
    *("maximize_best_checkpoint_metric", "path", "remove_bpe", "results_path", "nbest", "sacrebleu"),
    *("no_early_stop", "no_beamable_mm", "print_alignment", "profile_latency", "profile_flops", "get_attn"),
    *("diverse_beam_strength", "lat_dataset_path", "latgpu", "latcpu", "latsilent", "ckpt_path"),
    *("write_config_path", "validate_subtransformer", "train_subtransformer"),
}


def check_architecture_name(value: object) -> str:
    """The value of `arch`. Raises UserError for values outside ARCHITECTURES, which name another network."""
    if not isinstance(value, str) or value not in ARCHITECTURES:
        raise UserError(f"arch: {shown(value)}; the ones known here are {', '.join(ARCHITECTURES)}")
    return value


def check_fixed(name: str, value: object, fixed: Fixed) -> None:
    """Raises UserError if `value` (None: left out) is not supported."""
    if not fixed.allows(value):
        left_out = f"left out, so {shown(fixed.default)}, the original's default"
        given = left_out if value is None else shown(value)
        raise UserError(f"{name.replace('_', '-')}: {given}; only {fixed.choices()} is supported")


def _plain(value: object) -> str:
    """A text that is equal for values the published parsers read as equal: 0 and "0.0", [0.9, 0.98] and
    "(0.9,0.98)"."""
    if isinstance(value, list | tuple):
        return ",".join(map(_plain, value))
    if isinstance(value, bool) or value is None:
        return str(value)
    text = str(value).strip("()[] ")
    if "," in text:
        return ",".join(map(_plain, text.split(",")))
    try:
        return repr(float(text))
    except ValueError:
        return text
