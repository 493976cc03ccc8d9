"""From a trained model to an artefact for devices."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hat.runtime import Artefact, ArtefactConfig, DecodeOptions, TokenizerConfig, TrainingLines

if TYPE_CHECKING:  # only a name here: `hat export` runs where there is no PyTorch
    from hat.model import TranslationModel

__all__ = ["export"]


def export(
    model: "TranslationModel",
    folder: Path,
    *,
    tokenizer_folder: Path,
    tokenizer: TokenizerConfig,
    languages: tuple[str, str],
    decode: DecodeOptions,
    provenance: Mapping[str, Any],
    training_lines: TrainingLines | None = None,
) -> Artefact:
    """Write a model as an artefact folder, whole or not at all, and return it.

    `tokenizer_folder` holds the files that `tokenizer` names; `languages` are the codes of source and
    target; `decode`, `provenance` and `training_lines` go to the configuration. Raises UserError where
    weights or tokenizer do not fit, HatError where writing fails.
    """
    config = ArtefactConfig(
        model.config,
        *languages,
        decode=decode,
        tokenizer=tokenizer,
        provenance=provenance,
        training_lines=training_lines,
    )
    weights = {name: parameter.detach().float().cpu().numpy() for name, parameter in model.named_parameters()}
    artefact = Artefact(config, weights, tokenizer_folder)
    artefact.save(folder)
    return artefact
