"""A first recipe for the user's own text, with the reasons for its numbers as comments."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from hat.data import ParallelText, read_pairs
from hat.errors import UserError, shown
from hat.files import read_yaml, write_text
from hat.hardware import device_named
from hat.progress import Progress
from hat.recipe.budget import BASELINE, FOUND, SUPER, Budget, measured_speed, plan
from hat.recipe.constraint import Constraint
from hat.recipe.file import load_recipe
from hat.recipe.recipe import Recipe
from hat.recipe.text_survey import Survey, hold_out, survey

SEARCHED_SENTENCES = 200
LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*")


@dataclass(frozen=True)
class Wishes:
    """The user's wishes: text, languages, time, device. `valid` and `test`: None to take them from `train`.
    `latency`: a constraint such as 60% or 12.5ms."""

    train: ParallelText
    valid: ParallelText | None
    test: ParallelText | None
    source_language: str
    target_language: str
    minutes: float
    latency: str
    device: str

    def files(self) -> list[Path]:
        """All text that is the user's."""
        parts = [part for part in (self.train, self.valid, self.test) if part is not None]
        return [file for part in parts for file in (part.source, part.target) if file is not None]

    def check(self) -> None:
        """Raises UserError for wishes that no recipe can express."""
        try:
            constraint = Constraint.parse(self.latency)
        except ValueError as error:
            raise UserError(f"--latency: {error}") from error
        if not constraint.is_latency:
            raise UserError(f"--latency {shown(self.latency)}: other costs are limited in the recipe")
        if constraint.limits[0].relative and constraint.limits[0].value >= 1:
            raise UserError(f"--latency {self.latency}: must be below 100 % of the largest network's")
        if not 1 <= self.minutes < math.inf:
            raise UserError(f"--minutes {self.minutes:g}: must be at least 1, and finite")
        for side, language in (("source", self.source_language), ("target", self.target_language)):
            if not LANGUAGE.fullmatch(language):
                raise UserError(
                    f"--{side}-lang {shown(language)}: not the code of a language, such as en or pt-BR"
                )
        if self.train.source == self.train.target:
            raise UserError(f"{self.train.source}: source and target are the same file")
        device_named(self.device)


def write_first_recipe(path: Path, wishes: Wishes, progress: Progress) -> Budget:
    """Write a recipe that runs to `path`, and the text of missing validation and test sets to a folder beside
    it; returns the chosen sizes.

    Raises UserError, before anything is written, for unusable text and for wishes that cannot be met.
    """
    wishes.check()
    folder = path.with_name(f"{path.stem}-text")
    for file in wishes.files():
        if file.absolute() == path.absolute() or file.absolute().parent == folder.absolute():
            raise UserError(f"{file}: `hat init {path}` would write over it; call the recipe something else")
    for part in (wishes.valid, wishes.test):
        if part is not None:
            _check(part)
    text = survey(wishes.train, progress)
    budget = plan(text, wishes.minutes, measured_speed())
    wanted = {"train": wishes.train, "valid": wishes.valid, "test": wishes.test}
    parts = {name: part for name, part in wanted.items() if part is not None}
    if missing := [name for name in wanted if name not in parts]:
        names = _written_names(folder, wishes, [*missing, "train"])
        hold_out(wishes.train, missing, text.pairs, names)
        parts |= {name: ParallelText(*files) for name, files in names.items()}
    head = _head(wishes, missing, text, budget)
    sections = (head, _data(path.parent, wishes, parts, text, budget), _training(budget), _device(wishes))
    write_text(path, "\n\n".join(sections) + "\n")
    load_recipe(str(path))
    return budget


def is_recipe(path: Path) -> bool:
    """True if a file has the sections of a recipe, right ones or not."""
    try:
        value = read_yaml(path)
    except UserError:
        return False
    return isinstance(value, dict) and "data" in value and value.keys() <= Recipe.model_fields.keys()


def _check(part: ParallelText) -> None:
    """Raises UserError if a validation or test set cannot be read, or has an empty sentence."""
    for _ in read_pairs([part], allow_empty=False):
        pass


def _written_names(folder: Path, wishes: Wishes, sets: list[str]) -> dict[str, tuple[Path, Path]]:
    ends = wishes.source_language, wishes.target_language
    if ends[0] == ends[1]:
        ends = f"source.{ends[0]}", f"target.{ends[1]}"
    return {name: (folder / f"{name}.{ends[0]}", folder / f"{name}.{ends[1]}") for name in sets}


def _head(wishes: Wishes, missing: list[str], text: Survey, budget: Budget) -> str:
    minutes = f"{wishes.minutes:g} minute{'s' * (wishes.minutes != 1)}"
    lines = [
        f"# By `hat init`: {text.pairs:,} sentence pairs, {minutes}. This machine trains",
        f"# about {_rounded(budget.tokens_per_second)} target tokens a second of the largest network",
        f"# of the design space `{budget.scale.space}`. Everything may be edited.",
    ]
    if budget.too_short:
        lines += [
            f"# The time is short: the SuperTransformer sees only {budget.epochs:.0%} of the text.",
            "# Expect poor translations, or give it more minutes.",
        ]
    if missing:
        sets = {"valid": "validation", "test": "test"}
        lines += [
            f"# No {' and no '.join(sets[name] for name in missing)} text was named: some of the text",
            "# was set aside for that; no sentence of it is in the training text.",
        ]
    return "\n".join([*lines, "seed: 1"])


def _data(folder: Path, wishes: Wishes, parts: dict[str, ParallelText], text: Survey, budget: Budget) -> str:
    lines = [
        "data:",
        "  corpus: files",
        f"  source_language: {_scalar(wishes.source_language)}",
        f"  target_language: {_scalar(wishes.target_language)}",
        *(f"  {name}: {_part(folder, parts[name])}" for name in ("train", "valid", "test")),
        f"  # {text.distinct_words:,} different words: more pieces would be too rare to learn, and the",
        "  # embedding of each is bytes on the device and time in every step.",
        f"  vocabulary: {{size: {budget.vocabulary}, joint: true}}",
        "",
        "# The largest that suits this much text and that the time is enough to train well.",
        f"space: {budget.scale.space}",
    ]
    if budget.scale.space in ("demo", "multi30k"):
        lines.append("norm: pre                   # learns faster than post from little text")
    return "\n".join(lines)


def _training(budget: Budget) -> str:
    found_rate = budget.scale.learning_rate / 2
    return "\n".join(
        [
            f"# {SUPER:.0%} of the time: one network whose weights all candidates borrow. It sees the text",
            f"# {budget.epochs:.1f} times.",
            _section("super", budget.super_updates, budget.scale.learning_rate, budget),
            "",
            f"# {FOUND:.0%} of the time: the found model is trained on from those weights, at a lower rate.",
            _section("sub", budget.found_updates, found_rate, budget),
            "",
            f"# {BASELINE:.0%} of the time: a hand-made Transformer, from scratch, to compare with.",
            _section("baseline", budget.baseline_updates, budget.scale.learning_rate, budget),
            _baselines(budget),
        ]
    )


def _section(name: str, updates: int, rate: float, budget: Budget) -> str:
    settings = {
        "updates": updates,
        "batch_tokens": budget.scale.batch_tokens,
        "learning_rate": rate,
        "warmup": max(1, min(updates // 8, 4000)),
        "dropout": 0.1,
        "validate_every": max(1, updates // 8),
        "average": 3,
    }
    return "\n".join([f"{name}_training:", *(f"  {key}: {value}" for key, value in settings.items())])


def _baselines(budget: Budget) -> str:
    encoder, decoder = budget.largest.encoder, budget.largest.decoder
    width, layers = encoder.embed_dim, len(encoder.layers)
    heads = next(count for count in (8, 4, 2, 1) if width % count == 0)
    return (
        f"baselines:\n- {{name: transformer-{layers}+1, encoder_layers: {layers}, decoder_layers: 1, "
        f"embed_dim: {width}, ffn_dim: {decoder.layers[0].ffn_dim}, heads: {heads}}}"
    )


def _device(wishes: Wishes) -> str:
    return "\n".join(
        [
            f"device: {{name: {_scalar(wishes.device)}, beam: 4}}",
            "measure: {most: 64}         # networks timed; the latency of all others is predicted from them",
            "search:                     # smaller than the paper's, to fit the time",
            f"  constraints: [{_scalar(wishes.latency)}]       # of the largest's latency, or ms",
            "  population: 40",
            "  parents: 10",
            "  mutations: 15",
            "  crossovers: 15",
            "  iterations: 6",
            f"  validation_sentences: {SEARCHED_SENTENCES}",
            "evaluate: {beam: 4}",
        ]
    )


def _part(folder: Path, part: ParallelText) -> str:
    source = _scalar(_relative(folder, part.source))
    if part.target is None:
        return f"{{tsv: {source}}}"
    return f"{{source: {source}, target: {_scalar(_relative(folder, part.target))}}}"


def _relative(folder: Path, path: Path) -> str:
    """The path as written in a recipe in `folder`: relative if it is below the folder."""
    absolute, base = path.absolute(), folder.absolute()
    return str(absolute.relative_to(base) if absolute.is_relative_to(base) else absolute)


def _scalar(text: str) -> str:
    return json.dumps(text, ensure_ascii=not text.isprintable())  # YAML has no control characters


def _rounded(value: float) -> str:
    """The value with two significant digits, as a speed is known no better."""
    return f"{float(f'{value:.2g}'):,.0f}"
