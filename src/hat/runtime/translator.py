"""Text to text: the face of the runtime."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self

from hat.errors import UserError
from hat.runtime.artefact import Artefact
from hat.runtime.engine import (
    DecodeOptions,
    Engine,
    EngineSettings,
    Hypothesis,
    available_threads,
    load_engine,
)
from hat.runtime.locate import model_folder
from hat.runtime.tokenizer import EOS, SPACE, Tokenizer

# A longer source is split: training saw no such sentences, and attention grows with the square.
MAX_SOURCE_TOKENS = 256
SENTENCE_ENDS = tuple(".!?;:…。！？")
# Batches gathered before sorting by length: enough to fill them evenly, little enough to stream.
WINDOW_BATCHES = 16


@dataclass(frozen=True)
class Translation:
    """One translated line; `str()` of it is its text.

    `score`: length-normalised log-probability (of a line that had to be split: the mean of its
    parts). `tokens`: target pieces. `alternatives`: text and score of the 2nd best, 3rd best, …,
    where more than one was asked for.
    """

    text: str
    score: float
    tokens: tuple[str, ...]
    alternatives: tuple[tuple[str, float], ...] = ()

    def __str__(self) -> str:
        return self.text


EMPTY = Translation("", 0.0, ())


class Translator:
    """Translates lines of text with one model. Close it, or use it in a `with` statement."""

    def __init__(self, artefact: Artefact, engine: Engine) -> None:
        """Join an artefact and the engine that runs it. Raises UserError if they cannot speak."""
        config = artefact.config
        if config.tokenizer is None or artefact.tokenizer_folder is None:
            raise UserError("the model has no tokenizer: it was made for timing, not translating")
        self._tokenizer = Tokenizer(artefact.tokenizer_folder, config.tokenizer)
        for side in ("source_vocab", "target_vocab"):
            has, needs = getattr(self._tokenizer, side), getattr(config.model, side)
            if has != needs:
                raise UserError(
                    f"{artefact.tokenizer_folder}: {has} pieces, but the model's {side} is {needs}"
                )
        self.artefact = artefact
        self.engine = engine

    @classmethod
    def load(
        cls,
        path: str | Path,
        model: str | None = None,
        engine: str = "auto",
        threads: int | None = None,
    ) -> "Translator":
        """Load from an artefact folder, or from a run folder (`model`: one of the run's models).

        `threads`: by default as many as this process may use. Raises UserError.
        """
        artefact = Artefact.load(model_folder(Path(path), model))
        settings = EngineSettings(available_threads() if threads is None else threads)
        runner = load_engine(engine, artefact, settings)
        try:
            return cls(artefact, runner)
        except UserError:
            runner.close()
            raise

    def close(self) -> None:
        """Give back the engine's memory."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def translate(
        self,
        lines: Sequence[str],
        *,
        beam: int | None = None,
        nbest: int | None = None,
        length_penalty: float | None = None,
        max_length: int | None = None,
        batch: int = 16,
    ) -> list[Translation]:
        """Translate `lines`, results in their order; an empty line stays empty.

        What is None takes the model's default; `max_length` counts target tokens including </s>;
        `batch` sentences are decoded together. A line of more than MAX_SOURCE_TOKENS tokens is
        translated in parts, cut at a sentence's end where there is one. Raises UserError.
        """
        if isinstance(lines, str):
            raise UserError("translate takes a list of lines, not one string")
        options = self._options(beam, nbest, length_penalty, max_length)
        if batch < 1:
            raise UserError(f"batch: {batch} is less than 1")
        parts: list[list[int]] = []
        owners: list[int] = []
        for index, line in enumerate(lines):
            own = self._split(self._tokenizer.encode(line))
            parts += own
            owners += [index] * len(own)
        found: list[list[list[Hypothesis]]] = [[] for _ in lines]
        for owner, hypotheses in zip(owners, self._decode(parts, options, batch), strict=True):
            found[owner].append(hypotheses)
        return [self._join(of_line) for of_line in found]

    def translate_stream(
        self,
        lines: Iterable[str],
        *,
        beam: int | None = None,
        nbest: int | None = None,
        length_penalty: float | None = None,
        max_length: int | None = None,
        batch: int = 16,
    ) -> Iterator[Translation]:
        """As `translate`, lazily: never more than WINDOW_BATCHES × `batch` lines are held."""
        stream = iter(lines)
        while window := list(islice(stream, max(1, batch) * WINDOW_BATCHES)):
            yield from self.translate(
                window,
                beam=beam,
                nbest=nbest,
                length_penalty=length_penalty,
                max_length=max_length,
                batch=batch,
            )

    def _options(
        self,
        beam: int | None,
        nbest: int | None,
        length_penalty: float | None,
        max_length: int | None,
    ) -> DecodeOptions:
        given = {"beam": beam, "nbest": nbest, "length_penalty": length_penalty}
        if max_length is not None:
            given |= {"max_length_factor": 0.0, "max_length_offset": max_length}
        asked = {name: value for name, value in given.items() if value is not None}
        return replace(self.artefact.config.decode, **asked)  # type: ignore[arg-type]

    def _split(self, tokens: list[int]) -> list[list[int]]:
        """Parts of at most MAX_SOURCE_TOKENS - 1 ids, each ended by </s>; none for no ids."""
        parts = []
        while tokens:
            cut = len(tokens)
            if cut >= MAX_SOURCE_TOKENS:
                cut = _cut(self._tokenizer.source_pieces(tokens[:MAX_SOURCE_TOKENS]))
            parts.append([*tokens[:cut], EOS])
            tokens = tokens[cut:]
        return parts

    def _decode(self, parts: list[list[int]], options: DecodeOptions, batch: int) -> list[list[Hypothesis]]:
        order = sorted(range(len(parts)), key=lambda index: -len(parts[index]))
        results: dict[int, list[Hypothesis]] = {}
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            hypotheses = self.engine.translate([parts[index] for index in chosen], options)
            results.update(zip(chosen, hypotheses, strict=True))
        return [results[index] for index in range(len(parts))]

    def _join(self, parts: list[list[Hypothesis]]) -> Translation:
        if not parts:
            return EMPTY
        ranked = [self._render(rank) for rank in zip(*parts, strict=False)]
        best, *others = ranked
        return replace(best, alternatives=tuple((other.text, other.score) for other in others))

    def _render(self, parts: Sequence[Hypothesis]) -> Translation:
        texts = [self._tokenizer.decode(list(part.tokens)) for part in parts]
        tokens = [token for part in parts for token in part.tokens if token != EOS]
        return Translation(
            " ".join(text for text in texts if text),
            sum(part.score for part in parts) / len(parts),
            tuple(self._tokenizer.target_pieces(tokens)),
        )


def _cut(pieces: list[str]) -> int:
    """Where to end the first part: after a sentence, else before a word, else at the limit."""
    words = [at for at in range(1, len(pieces)) if pieces[at].startswith(SPACE)]
    ends = [at for at in words if pieces[at - 1].endswith(SENTENCE_ENDS)]
    return (ends or words or [len(pieces) - 1])[-1]
