"""From text to text: the public face of the runtime."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hat.arguments import check_choice, check_lines, check_range, file_path, text_pairs, whole_number
from hat.errors import UserError
from hat.file_names import TOKENIZER
from hat.runtime.artefact import Artefact, ArtefactConfig
from hat.runtime.decoding import LIMITS, DecodeOptions
from hat.runtime.engines import Engine, EngineSettings, load_engine, load_onnx_export
from hat.runtime.locate import is_onnx_export, model_folder
from hat.runtime.tokenizer import Tokenizer
from hat.runtime.training_lines import TrainingLines
from hat.runtime.translator import long_input as long
from hat.runtime.translator.batching import batches_of, checked_size
from hat.runtime.translator.gate import Gate
from hat.runtime.translator.line import Line, LineReader
from hat.runtime.translator.read_ahead import ReadAhead
from hat.runtime.translator.translation import Decoded, Score, Translation
from hat.threads import available_threads
from hat.tokens import EOS

# Batches gathered before sorting by length: enough to fill them evenly, little enough to stream.
WINDOW_BATCHES = 16


class Translator:
    """Translates lines of text with one model. Close it, or use it in a `with` statement.

    Several threads may use it, and a process may have several. A copied or unpickled translator loads the
    same model again.
    """

    def __init__(
        self, config: ArtefactConfig, tokenizer_folder: Path | None, engine: Engine, long_input: str = "split"
    ) -> None:
        """A translator with an engine that is loaded already.

        Lines of more tokens than those that the model was trained on (`config.training_lines`) are translated
        in parts (`long_input` "split") or are an error ("refuse"). Raises UserError if there is no
        tokenizer, or one that does not fit the model.
        """
        if config.tokenizer is None or tokenizer_folder is None:
            raise UserError("the model has no tokenizer: it was made for timing, not translating")
        self._tokenizer = Tokenizer(tokenizer_folder, config.tokenizer)
        for side in ("source_vocab", "target_vocab"):
            has, needs = getattr(self._tokenizer, side), getattr(config.model, side)
            if has != needs:
                raise UserError(f"{tokenizer_folder}: {has} pieces, but the model's {side} is {needs}")
        self.config, self.engine = config, engine
        trained_on = config.training_lines or TrainingLines()
        self._reader = LineReader(self._tokenizer, config.source_language, trained_on, long_input)
        self._gate = Gate("the translator")
        self._loaded_with: Mapping[str, Any] | None = None

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
        check_choice("long_input", long_input, long.CHOICES)
        path = file_path("path", path)
        again = {"path": path.absolute(), "model": model, "engine": engine, "threads": threads}
        again |= {"device": device, "instruction_set": instruction_set, "long_input": long_input}
        count = available_threads() if threads is None else threads
        settings = EngineSettings(count, device, instruction_set)
        folder = model_folder(path, model)
        tokenizer: Path | None = folder / TOKENIZER
        if is_onnx_export(folder):
            config, runner = load_onnx_export(engine, folder, settings)
        else:
            artefact = Artefact.load(folder)
            config, tokenizer = artefact.config, artefact.tokenizer_folder
            runner = load_engine(engine, artefact, settings)
        try:
            loaded = cls(config, tokenizer, runner, long_input)
        except UserError:
            runner.close()
            raise
        loaded._loaded_with = again
        return loaded

    def __reduce__(self) -> tuple[Any, ...]:
        """The arguments to load it again, for pickle and copy. Raises UserError if no folder was loaded."""
        self._gate.check()
        if self._loaded_with is None:
            raise UserError(
                "this translator was made of an engine and cannot be copied or pickled; one from "
                "Translator.load can: it is loaded again"
            )
        return _load_again, (type(self), self._loaded_with)

    def close(self) -> None:
        """Wait for other threads to finish decoding, then release the engine's memory."""
        if self._gate.close():
            self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def translate(
        self,
        lines: Iterable[str],
        *,
        beam: int | None = None,
        nbest: int | None = None,
        length_penalty: float | None = None,
        max_length: int | None = None,
        batch: int = 16,
        split: bool = True,
    ) -> list[Translation]:
        """Translate `lines`, results in their order; an empty line stays empty.

        Options that are None take the model's defaults; `max_length` counts target tokens including </s>;
        `batch` sentences are decoded together. A line of several sentences is translated sentence by sentence
        (or as many at once as the model's training lines have) and joined with the white space between them;
        without `split` it is translated as a whole. A line without anything that the model knows comes back
        unchanged; single words unknown to the model are copied. Raises UserError, for a refused long line
        with the line's number.
        """
        options, batch = self._options(lines, beam, nbest, length_penalty, max_length, batch)
        return self._translate(list(lines), options, batch, split, first=1)

    def translate_stream(
        self,
        lines: Iterable[str],
        *,
        beam: int | None = None,
        nbest: int | None = None,
        length_penalty: float | None = None,
        max_length: int | None = None,
        batch: int = 16,
        split: bool = True,
    ) -> Iterator[Translation]:
        """Translate like `translate`, but lazily: results come in order, as soon as their lines allow.

        A thread reads `lines` ahead, and the lines that it has read are decoded together: a slow source is
        not held back until a window fills, and never more than WINDOW_BATCHES × `batch` lines are held. An
        error of `lines` is raised here, after the translations of the lines before it.
        """
        options, batch = self._options(lines, beam, nbest, length_penalty, max_length, batch)
        return self._stream(lines, options, batch, split)

    def score(self, pairs: Iterable[tuple[str, str]], *, batch: int = 16) -> list[Score]:
        """The probability that the model gives to each (source, target) pair.

        Raises UserError, naming the pair, for anything else than a pair of texts, for a pair that is too long
        (nothing is split here), and if the model's weights are so large that the score is not finite.
        """
        self._gate.check()
        batch, pairs = checked_size(batch), text_pairs(pairs)
        sources = [self._encoded(source, "source", n) for n, (source, _) in enumerate(pairs, start=1)]
        targets = [self._encoded(target, "target", n) for n, (_, target) in enumerate(pairs, start=1)]
        scores: dict[int, Score] = {}
        for chosen in batches_of(sources, batch):
            with self._gate.entered():
                scored = self.engine.score([sources[i] for i in chosen], [targets[i] for i in chosen])
            for index, token_scores in zip(chosen, scored, strict=True):
                if not all(map(math.isfinite, token_scores)):
                    raise UserError(f"pair {index + 1}: no finite score: the model is damaged")
                pieces = self._tokenizer.target_pieces(targets[index])
                normalised = sum(token_scores) / len(pieces) ** self.config.decode.length_penalty
                scores[index] = Score(tuple(pieces), token_scores, normalised)
        return [scores[index] for index in range(len(pairs))]

    def _options(
        self,
        lines: Iterable[str],
        beam: int | None,
        nbest: int | None,
        length_penalty: float | None,
        max_length: int | None,
        batch: int,
    ) -> tuple[DecodeOptions, int]:
        """The decoding options and the size of a batch. Raises UserError."""
        self._gate.check()
        check_lines(lines)
        batch = checked_size(batch)
        given: dict[str, Any] = {"beam": beam, "nbest": nbest, "length_penalty": length_penalty}
        if max_length is not None:
            given |= {"max_length_factor": 0.0, "max_length_offset": self._max_length(max_length)}
        given = {name: value for name, value in given.items() if value is not None}
        return replace(self.config.decode, **given), batch

    def _max_length(self, value: object) -> int:
        length, least = whole_number("max_length", value), self.config.decode.min_length
        if length < least:
            raise UserError(
                f"max_length: {length} leaves no room for a translation, which needs at least {least} tokens "
                "including </s>"
            )
        check_range("max_length", length, least, LIMITS["max_length_offset"][1])
        return length

    def _stream(
        self, lines: Iterable[str], options: DecodeOptions, batch: int, split: bool
    ) -> Iterator[Translation]:
        reader = ReadAhead(lines, batch * WINDOW_BATCHES)
        first = 1
        try:
            while window := reader.take():
                for translation in self._translate(window, options, batch, split, first):
                    reader.done()
                    yield translation
                first += len(window)
        finally:
            reader.stop()

    def _translate(
        self, lines: Sequence[str], options: DecodeOptions, batch: int, split: bool, first: int
    ) -> list[Translation]:
        """`first`: the number of the first line, for messages."""
        read = [self._reader.read(line, f"line {first + n}", split) for n, line in enumerate(lines)]
        decoded = iter(self._decode([source for line in read for source in line.sources], options, batch))
        return [self._joined(line, decoded, f"line {first + n}") for n, line in enumerate(read)]

    def _joined(self, line: Line, decoded: Iterator[Decoded], where: str) -> Translation:
        parts = [next(decoded) for _ in line.sources]
        if not all(part.hypotheses for part in parts):
            raise UserError(f"{where}: no translation has a finite score: the model is damaged")
        return line.joined(parts, self._tokenizer)

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
        for chosen in batches_of(parts, batch):
            with self._gate.entered():
                start = time.perf_counter()
                hypotheses = self.engine.translate([parts[index] for index in chosen], options)
                share = 1000 * (time.perf_counter() - start) / len(chosen)
            for index, ranked in zip(chosen, hypotheses, strict=True):
                results[index] = Decoded(ranked, share)
        return [results[index] for index in range(len(parts))]


def _load_again(kind: type[Translator], options: Mapping[str, Any]) -> Translator:
    return kind.load(**options)
