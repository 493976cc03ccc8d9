"""A teacher's soft labels of a text, and its translations of it. Both continue after a kill."""

import shutil
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path

import torch

from hat.data import SoftLabels, TokenStore, collate, sequential_batches, write_store
from hat.data.soft_labels import SoftLabelWriter
from hat.data.store import Chunk
from hat.errors import UserError
from hat.model import TranslationModel
from hat.progress import Progress, silent
from hat.runtime import DecodeOptions, Engine
from hat.tokens import EOS
from hat.training.accelerator import accelerator, tensors
from hat.training.threads import Trial

# The sizes of pieces of work. Batches decide which sums are rounded together, so their sizes are fixed.
BATCH_TOKENS = 4096
BATCH_SENTENCES = 64
PART_SENTENCES = 1024


@torch.inference_mode()
def write_soft_labels(
    teacher: TranslationModel,
    text: TokenStore,
    *,
    folder: Path,
    top_k: int,
    temperature: float,
    progress: Progress = silent,
) -> SoftLabels:
    """The teacher's `top_k` most probable tokens at every target position of `text`, in `folder`.

    Probabilities are the softmax of these tokens' logits over `temperature`, as in the published
    code. Raises UserError if the vocabulary has fewer tokens, or a logit is not finite.
    """
    vocabulary = text.vocab[1]
    if top_k > vocabulary:
        raise UserError(f"top_k: {top_k} of a vocabulary of {vocabulary}")
    if folder.exists():  # it is moved there when it is complete
        return SoftLabels.open(folder, text)
    teacher.eval().to(accelerator())
    batches = sequential_batches(text, BATCH_TOKENS)
    sizes = [int(text.target_lengths[rows].sum()) + len(rows) for rows in batches]
    with SoftLabelWriter(folder, text, top_k, temperature) as writer:
        for number in range(writer.done, len(batches)):
            rows = batches[number]
            source, target_in, _ = tensors(collate(text, rows))
            logits, ids = (values.cpu() for values in teacher(source, target_in).float().topk(top_k))
            probabilities = (logits.double() / temperature).softmax(-1)
            if not probabilities.isfinite().all():
                raise UserError("the teacher's logits are not finite: the model is damaged")
            writer.write(rows, ids.numpy(), probabilities.numpy())
            writer.save(number + 1)
            progress(sum(sizes[: number + 1]), sum(sizes), "target tokens labelled")
        writer.finish()
    return SoftLabels.open(folder, text)


def label_trial(teacher: TranslationModel, text: TokenStore) -> Trial:
    """The work of `write_soft_labels` on one batch of `text`, given its number."""
    batches = cache(lambda: sequential_batches(text, BATCH_TOKENS))

    @torch.inference_mode()
    def trial(number: int) -> None:
        source, target_in, _ = tensors(collate(text, batches()[number % len(batches())]))
        teacher.eval().to(accelerator())(source, target_in)

    return trial


def write_translations(
    teacher: Engine,
    text: TokenStore,
    *,
    folder: Path,
    options: DecodeOptions,
    references: bool = False,
    progress: Progress = silent,
) -> TokenStore:
    """A copy of `text`, in `folder`, whose targets are the teacher's best translations.

    Sequence-level knowledge distillation (Kim & Rush 2016). With `references` the pairs of `text` itself
    come first. Finished parts lie beside `folder` until all are done. Raises UserError where the teacher
    finds no translation of finite score.
    """
    parts = folder.with_name(f".{folder.name}.parts")
    if not folder.exists():  # it is written whole, after all parts
        starts = range(0, len(text), PART_SENTENCES)
        pieces = [range(start, min(start + PART_SENTENCES, len(text))) for start in starts]
        folders = [parts / f"{rows.start:09}" for rows in pieces]
        for rows, part in zip(pieces, folders, strict=True):
            if not part.exists():
                write_store(part, [_translated(teacher, text, rows, options)], text.vocab)
            progress(rows.stop, len(text), "sentences translated")
        translated = (TokenStore.open(part) for part in folders)
        chunks = (_chunk(store, range(len(store))) for store in translated)
        originals = (_chunk(text, rows) for rows in pieces if references)
        write_store(folder, chain(originals, chunks), text.vocab)
    shutil.rmtree(parts, ignore_errors=True)
    return TokenStore.open(folder)


def _translated(teacher: Engine, text: TokenStore, rows: Sequence[int], options: DecodeOptions) -> Chunk:
    sources = [text.source(row).tolist() for row in rows]
    targets: list[list[int]] = [[] for _ in rows]
    for chosen in _batches(sources):
        translations = teacher.translate([[*sources[index], EOS] for index in chosen], options)
        for index, hypotheses in zip(chosen, translations, strict=True):
            if not hypotheses:
                problem = "the teacher's translations have no finite score: the model is damaged"
                raise UserError(f"training pair {rows[index] + 1}: {problem}")
            targets[index] = [token for token in hypotheses[0].tokens if token != EOS]
    return sources, targets


def _batches(sources: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Indices of sources, longest first, so that a batch has similar lengths."""
    order = sorted(range(len(sources)), key=lambda index: -len(sources[index]))
    return (order[start : start + BATCH_SENTENCES] for start in range(0, len(order), BATCH_SENTENCES))


def _chunk(store: TokenStore, rows: Sequence[int]) -> Chunk:
    return [store.source(row).tolist() for row in rows], [store.target(row).tolist() for row in rows]
