"""Text to text: the face of the runtime."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from hat.errors import UserError
from hat.runtime import long_input as long
from hat.runtime.artefact import TOKENIZER, Artefact, ArtefactConfig
from hat.runtime.engine import (
    DecodeOptions,
    Engine,
    EngineSettings,
    available_threads,
    load_engine,
    load_onnx_export,
)
from hat.runtime.gate import Gate
from hat.runtime.locate import is_onnx_export, model_folder
from hat.runtime.read_ahead import ReadAhead
from hat.runtime.tokenizer import EOS, Tokenizer
from hat.runtime.translation import Decoded, Score, Translation, join

# Batches gathered before sorting by length: enough to fill them evenly, little enough to stream.
WINDOW_BATCHES = 16


class Translator:
    """Translates lines of text with one model. Close it, or use it in a `with` statement.

    It may be used from several threads, and a process may have several.
    """

    def __init__(
        self,
        config: ArtefactConfig,
        tokenizer_folder: Path | None,
        engine: Engine,
        long_input: str = "split",
    ) -> None:
        """Join a model's configuration, its tokenizer and the engine that runs it.

        Lines of more than long_input.MAX_SOURCE_TOKENS tokens are translated in parts
        (`long_input` "split", cut at a sentence's end where there is one) or are an error ("refuse").
        Raises UserError if they cannot speak.
        """
        long.check_choice(long_input)
        if config.tokenizer is None or tokenizer_folder is None:
            raise UserError("the model has no tokenizer: it was made for timing, not translating")
        self._tokenizer = Tokenizer(tokenizer_folder, config.tokenizer)
        for side in ("source_vocab", "target_vocab"):
            has, needs = getattr(self._tokenizer, side), getattr(config.model, side)
            if has != needs:
                raise UserError(f"{tokenizer_folder}: {has} pieces, but the model's {side} is {needs}")
        self.config = config
        self.engine = engine
        self._long_input = long_input
        self._gate = Gate("the translator")

    @classmethod
    def load(
        cls,
        path: str | Path,
        model: str | None = None,
        engine: str = "auto",
        threads: int | None = None,
        device: str = "cpu",
        instruction_set: str = "auto",
        long_input: str = "split",
    ) -> "Translator":
        """Load from an artefact folder, an ONNX export, or a run folder (`model`: one of its models).

        `engine`: one of ENGINES, or the first of them that is installed. `threads`: by default as many
        as this process may use. `device` and `instruction_set`: as in EngineSettings. `long_input`:
        "split" or "refuse". Raises UserError.
        """
        long.check_choice(long_input)
        settings = EngineSettings(
            available_threads() if threads is None else threads, device, instruction_set
        )
        folder = model_folder(Path(path), model)
        tokenizer: Path | None = folder / TOKENIZER
        if is_onnx_export(folder):
            config, runner = load_onnx_export(engine, folder, settings)
        else:
            artefact = Artefact.load(folder)
            config, tokenizer = artefact.config, artefact.tokenizer_folder
            runner = load_engine(engine, artefact, settings)
        try:
            return cls(config, tokenizer, runner, long_input)
        except UserError:
            runner.close()
            raise

    def close(self) -> None:
        """Wait for what other threads are decoding, then give back the engine's memory."""
        if self._gate.close():
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
        `batch` sentences are decoded together. Raises UserError, for a long line that is refused with
        its number.
        """
        options = self._options(lines, beam, nbest, length_penalty, max_length, batch)
        return self._translate(lines, options, batch, first=1)

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
        """As `translate`, lazily: results come in order, as soon as their lines allow.

        A thread reads `lines` ahead, and what is there is decoded together: a slow source is not held
        back until a window fills, and never more than WINDOW_BATCHES × `batch` lines are held. What
        `lines` raises is raised here, after the translations of the lines before it.
        """
        options = self._options(lines, beam, nbest, length_penalty, max_length, batch)
        return self._stream(lines, options, batch)

    def score(self, pairs: Sequence[tuple[str, str]], *, batch: int = 16) -> list[Score]:
        """How probable the model finds each (source, target) pair.

        Raises UserError, naming the pair, for one that is too long: nothing is split here.
        """
        self._gate.check()
        _check_batch(batch)
        sources = [self._encoded(s, "source", n) for n, (s, _) in enumerate(pairs, start=1)]
        targets = [self._encoded(t, "target", n) for n, (_, t) in enumerate(pairs, start=1)]
        found: dict[int, Score] = {}
        for chosen in _batches(sources, batch):
            with self._gate.entered():
                scored = self.engine.score([sources[i] for i in chosen], [targets[i] for i in chosen])
            for index, token_scores in zip(chosen, scored, strict=True):
                pieces = self._tokenizer.target_pieces(targets[index])
                found[index] = Score(tuple(pieces), token_scores)
        return [found[index] for index in range(len(pairs))]

    def _options(
        self,
        lines: Iterable[str],
        beam: int | None,
        nbest: int | None,
        length_penalty: float | None,
        max_length: int | None,
        batch: int,
    ) -> DecodeOptions:
        self._gate.check()
        if isinstance(lines, str):
            raise UserError("expected a list of lines, not one string")
        _check_batch(batch)
        given = {"beam": beam, "nbest": nbest, "length_penalty": length_penalty}
        if max_length is not None:
            given |= {"max_length_factor": 0.0, "max_length_offset": max_length}
        asked = {name: value for name, value in given.items() if value is not None}
        return replace(self.config.decode, **asked)  # type: ignore[arg-type]

    def _stream(self, lines: Iterable[str], options: DecodeOptions, batch: int) -> Iterator[Translation]:
        reader = ReadAhead(lines, batch * WINDOW_BATCHES)
        first = 1
        try:
            while window := reader.take():
                for translation in self._translate(window, options, batch, first):
                    reader.done()
                    yield translation
                first += len(window)
        finally:
            reader.stop()

    def _translate(
        self, lines: Sequence[str], options: DecodeOptions, batch: int, first: int
    ) -> list[Translation]:
        """`first`: the number of the first line, for messages."""
        parts: list[list[int]] = []
        owners: list[int] = []
        for index, line in enumerate(lines):
            own = self._parts(line, f"line {first + index}")
            parts += own
            owners += [index] * len(own)
        found: list[list[Decoded]] = [[] for _ in lines]
        for owner, decoded in zip(owners, self._decode(parts, options, batch), strict=True):
            if not decoded.hypotheses:
                raise UserError(
                    f"line {first + owner}: no translation has a finite score: the model is damaged"
                )
            found[owner].append(decoded)
        return [join(of_line, self._tokenizer) for of_line in found]

    def _parts(self, line: str, where: str) -> list[list[int]]:
        tokens = self._tokenizer.encode(line, where)
        if self._long_input == "refuse":
            long.check_length([*tokens, EOS], long.MAX_SOURCE_TOKENS, where)
        return long.parts_of(tokens, self._tokenizer)

    def _encoded(self, text: str, side: str, number: int) -> list[int]:
        where = f"pair {number}, {side}"
        encode, most = self._tokenizer.encode, long.MAX_SOURCE_TOKENS
        if side == "target":
            encode, most = self._tokenizer.encode_target, long.MAX_TARGET_TOKENS
        tokens = [*encode(text, where), EOS]
        long.check_length(tokens, most, where)
        return tokens

    def _decode(self, parts: list[list[int]], options: DecodeOptions, batch: int) -> list[Decoded]:
        results: dict[int, Decoded] = {}
        for chosen in _batches(parts, batch):
            with self._gate.entered():
                start = time.perf_counter()
                hypotheses = self.engine.translate([parts[index] for index in chosen], options)
                share = 1000 * (time.perf_counter() - start) / len(chosen)
            for index, ranked in zip(chosen, hypotheses, strict=True):
                results[index] = Decoded(ranked, share)
        return [results[index] for index in range(len(parts))]


def _check_batch(batch: int) -> None:
    if batch < 1:
        raise UserError(f"batch: {batch} is less than 1")


def _batches(sources: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Indices of sources in batches, longest first, so that lengths in a batch are alike."""
    order = sorted(range(len(sources)), key=lambda index: -len(sources[index]))
    return (order[start : start + size] for start in range(0, len(order), size))
