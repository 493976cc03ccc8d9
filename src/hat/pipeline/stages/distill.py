"""distill: a teacher's soft labels for the training text, or its translations of it, or both."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hat.data import TokenStore
from hat.errors import UserError
from hat.file_names import CONFIG, WEIGHTS
from hat.files import digest
from hat.model.engine import TorchEngine
from hat.pipeline.context import STORES, Context
from hat.pipeline.stages.train import ARTEFACT, teacher_model, train_step
from hat.pipeline.stages.train_super import THREADS, seed_and_threads
from hat.pipeline.steps import Step
from hat.pipeline.teaching import LABELS, SEQUENCES, TOKENS, lesson_texts
from hat.pipeline.tokenizers import tokenizer_config
from hat.pipeline.versions import VERSIONS
from hat.progress import Progress
from hat.recipe.distillation import Distillation
from hat.runtime import Artefact, EngineSettings, load_engine
from hat.training import write_soft_labels, write_translations
from hat.training.teacher import label_trial
from hat.training.threads import use_threads

# A float32 teacher translates at int8: some three times faster, at a cost of 0.2 BLEU at most
# (benchmarks/deployed_quality.py).
DECODING_PRECISION = "int8"


@dataclass(frozen=True)
class _Teacher:
    """Where the teacher's artefact lies, and the digest of its content."""

    folder: Path
    digest: str

    def load(self, context: Context) -> Artefact:
        """Raises UserError where it is damaged, or its vocabulary is not this run's."""
        artefact = Artefact.load(self.folder)
        own = context.outcome("prepare").folder / "tokenizer"
        config, theirs = tokenizer_config(context.recipe.data), artefact.tokenizer_folder
        if (
            theirs is None
            or artefact.config.tokenizer != config
            or not _same(own, theirs, config.file_names())
        ):
            raise UserError(
                f"distillation: teacher: {self.folder} has not the vocabulary of this run; train it on the "
                "same text with the same data section and seed"
            )
        return artefact


def steps(context: Context) -> Iterator[Step]:
    """The teacher's training, where it is a model of this run, then what it has to say; nothing
    where the recipe has no teacher."""
    section = context.recipe.distillation
    if section is None:
        return
    model = teacher_model(context)
    if model:
        yield train_step(context, model)
        trained = context.outcome(model.step)
        teacher = _Teacher(trained.folder / ARTEFACT, trained.digest_of(ARTEFACT))
    else:
        content = {path.name: context.text_digest(path) for path in teacher_files(context)}
        teacher = _Teacher(Path(section.teacher), digest(content))
    if section.uses_sequences:
        yield _sequences_step(context, teacher, section)
    if section.uses_tokens:
        yield _tokens_step(context, teacher, section)


def teacher_files(context: Context) -> list[Path]:
    """The files of a teacher that is not a model of this run."""
    section = context.recipe.distillation
    if section is None or not section.is_path:
        return []
    return [Path(section.teacher) / name for name in (CONFIG, WEIGHTS)]


def _sequences_step(context: Context, teacher: _Teacher, section: Distillation) -> Step:
    prepared = context.outcome("prepare")
    engine = context.scoring_engine

    def run(folder: Path, progress: Progress) -> None:
        artefact = teacher.load(context)
        if artefact.config.precision == "float32":
            artefact = artefact.at_precision(DECODING_PRECISION)
        own = context.scoring_engine_for(artefact.config.model.architecture)
        with closing(load_engine(own, artefact, EngineSettings(THREADS))) as runner:
            decode = artefact.config.decode
            for name in STORES:
                text = TokenStore.open(prepared.folder / name)
                write_translations(
                    runner,
                    text,
                    folder=folder / name,
                    options=decode,
                    references=section.references,
                    progress=progress,
                )

    results = {"teacher": teacher.digest, "prepared text": prepared.digest_of(*STORES, "tokenizer")}
    settings = section.model_dump(mode="json", include={"references"})
    inputs = {"device": {"engine": engine}, "distillation": settings, "results": results}
    return Step(SEQUENCES, inputs, STORES, run, VERSIONS[SEQUENCES])


def _tokens_step(context: Context, teacher: _Teacher, section: Distillation) -> Step:
    prepared = context.outcome("prepare")

    def run(folder: Path, progress: Progress) -> None:
        seed_and_threads(context.recipe.seed)
        network = TorchEngine(teacher.load(context), EngineSettings(THREADS)).model
        texts = lesson_texts(context)
        use_threads(folder, context.recipe.sub_training.threads, label_trial(network, texts[0]))
        for name, text in zip(LABELS, texts, strict=True):
            write_soft_labels(
                network,
                text,
                folder=folder / name,
                top_k=section.top_k,
                temperature=section.temperature,
                progress=progress,
            )

    results = {"teacher": teacher.digest, "prepared text": prepared.digest_of(*STORES, "tokenizer")}
    if section.uses_sequences:
        results["teacher's translations"] = context.outcome(SEQUENCES).digest_of(*STORES)
    settings = section.model_dump(mode="json", include={"top_k", "temperature"})
    inputs = {"distillation": settings, "results": results}
    return Step(TOKENS, inputs, LABELS, run, VERSIONS[TOKENS])


def _same(one: Path, other: Path, names: Iterable[str]) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in names)
