"""The test text translated by a final model, as the device runs it, and scored; the beam and the length
penalty that suit a model."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hat.evaluation import score, tokenised_bleu
from hat.files import write_json
from hat.lines import read_lines, write_lines
from hat.pipeline.models.final import FinalModel
from hat.pipeline.models.training import THREADS
from hat.pipeline.steps.context import Context
from hat.pipeline.steps.results import (
    ARTEFACT,
    BEAM,
    DEPLOYED,
    PREPARE,
    SCORES,
    TEST,
    TRANSLATIONS,
    VALIDATION,
)
from hat.pipeline.steps.step import Step
from hat.progress import Progress, between
from hat.recipe.recipe import Evaluate
from hat.runtime import Artefact, DecodeOptions, Translator

TUNING = 0.9  # of the time that scoring takes with it
CHUNK_BATCHES = 8
# From the paper's 0.6 on. Trained models of Multi30k are best with 1.2 to 2.
Text = tuple[Sequence[str], Sequence[str]]  # source and target lines
LENGTH_PENALTIES = (0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0)


def score_step(context: Context, model: FinalModel) -> Step:
    """The step that deploys a trained model and scores it."""
    prepared = context.outcome(PREPARE)
    results = {
        "model": context.outcome(model.train_step).digest_of(ARTEFACT),
        "test text": prepared.digest_of(*TEST),
    }
    if context.recipe.evaluate.tunes:
        results["validation text"] = prepared.digest_of(*VALIDATION)
    engine = context.scoring_engine_for(model.architecture)
    inputs = {
        "evaluate": _settings(context),
        "device": {**context.scoring_device_inputs(engine), "precision": context.device.precision},
        "results": results,
    }

    def run(folder: Path, progress: Progress) -> None:
        _score(context, model, folder, progress)

    return Step(model.score_step, inputs, (DEPLOYED, TRANSLATIONS, SCORES), run)


def read_pair(text: Path, names: tuple[str, str]) -> tuple[list[str], list[str]]:
    """The source and the target lines of TEST or VALIDATION in the folder of the prepared text."""
    source, target = names
    return read_lines(text / source), read_lines(text / target)


def translate_all(
    translator: Translator,
    sources: Sequence[str],
    *,
    batch: int,
    progress: Progress,
    beam: int | None = None,
    length_penalty: float | None = None,
) -> list[str]:
    """Translations of all lines, in their order; None: with the model's beam and length penalty."""
    chunk = batch * CHUNK_BATCHES
    translated: list[str] = []
    for start in range(0, len(sources), chunk):
        progress(start, len(sources), "sentences translated")
        some = translator.translate(
            sources[start : start + chunk], beam=beam, length_penalty=length_penalty, batch=batch
        )
        translated += map(str, some)
    return translated


def smallest_beam(
    translator: Translator, text: Text, *, most: int, loss: float, batch: int, progress: Progress
) -> int:
    """The smallest beam whose translations have at most `loss` chrF less than those with the beam `most`."""
    sources, references = text

    def chrf(beam: int) -> float:
        part = between(progress, beam % most / most, (beam % most + 1) / most, f"beam {beam}: ")
        translated = translate_all(translator, sources, batch=batch, progress=part, beam=beam)
        return score(translated, references).chrf

    least = chrf(most) - loss
    return next((beam for beam in range(1, most) if chrf(beam) >= least), most)


def best_length_penalty(
    translator: Translator, text: Text, *, beam: int | None = None, batch: int, progress: Progress
) -> float:
    """The one of LENGTH_PENALTIES with which the translations have the most BLEU; of equals the least.
    None: with the model's beam."""
    sources, references = text
    count, bleu = len(LENGTH_PENALTIES), {}
    for number, penalty in enumerate(LENGTH_PENALTIES):
        part = between(progress, number / count, (number + 1) / count, f"length penalty {penalty}: ")
        translated = translate_all(
            translator, sources, batch=batch, progress=part, beam=beam, length_penalty=penalty
        )
        bleu[penalty] = score(translated, references).bleu
    return max(bleu, key=bleu.__getitem__)


def _settings(context: Context) -> dict[str, Any]:
    evaluate = context.recipe.evaluate
    inputs = evaluate.model_dump(mode="json", include={"batch", "tokenised_bleu", "tune_length_penalty"})
    # Steps that ignore these settings have the same key whatever the settings say.
    used = {name: value for name, value in inputs.items() if value not in ("none", False)}
    return used if evaluate.tune_beam is None else used | {"tune_beam": evaluate.tune_beam}


def _score(context: Context, model: FinalModel, folder: Path, progress: Progress) -> None:
    text, settings = context.outcome(PREPARE).folder, context.recipe.evaluate
    trained = context.outcome(model.train_step).folder / ARTEFACT
    deployed = Artefact.load(trained).at_precision(context.device.precision)
    deployed.save(folder / DEPLOYED)
    engine = context.scoring_engine_for(model.architecture)
    sources, references = read_pair(text, TEST)
    accelerator = context.scoring_accelerator(engine)
    with Translator.load(folder / DEPLOYED, None, engine, THREADS, accelerator) as translator:
        decode = deployed.config.decode
        if settings.tunes:
            tuning, progress = between(progress, 0, TUNING), between(progress, TUNING, 1)
            decode = _tuned(settings, translator, decode, read_pair(text, VALIDATION), tuning)
        translated = translate_all(
            translator,
            sources,
            batch=settings.batch,
            progress=progress,
            beam=decode.beam,
            length_penalty=decode.length_penalty,
        )
    if decode != deployed.config.decode:
        deployed.with_decode(decode).save(folder / DEPLOYED)
    write_lines(folder / TRANSLATIONS, translated)
    scores = _scores(context, translated, references)
    if settings.tune_beam is not None:
        scores[BEAM] = decode.beam
    write_json(folder / SCORES, scores | {"length_penalty": decode.length_penalty})


def _tuned(
    settings: Evaluate, translator: Translator, decode: DecodeOptions, text: Text, progress: Progress
) -> DecodeOptions:
    """A model's defaults of decoding with the beam and the length penalty that the settings ask to choose."""
    start = 0.0
    if settings.tune_beam is not None:
        start, part = 0.5, between(progress, 0, 0.5 if settings.tune_length_penalty else 1)
        beam = smallest_beam(
            translator, text, most=decode.beam, loss=settings.tune_beam, batch=settings.batch, progress=part
        )
        decode = replace(decode, beam=beam)
    if settings.tune_length_penalty:
        part = between(progress, start, 1)
        penalty = best_length_penalty(translator, text, beam=decode.beam, batch=settings.batch, progress=part)
        decode = replace(decode, length_penalty=penalty)
    return decode


def _scores(context: Context, translated: Sequence[str], references: Sequence[str]) -> dict[str, Any]:
    scores = asdict(score(translated, references))
    kind = context.recipe.evaluate.tokenised_bleu
    if kind != "none":
        language = context.recipe.data.target_language
        bleu, signature = tokenised_bleu(translated, references, language, kind == "lowercase")
        scores |= {"tokenised_bleu": bleu, "tokenised_bleu_signature": signature}
    return scores
