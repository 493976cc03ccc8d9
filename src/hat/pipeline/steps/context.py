"""The view that stages have of their run: recipe, folder, and the outcomes of earlier steps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from hat.architecture import AnyArchitecture, Architecture, ModelConfig, family_of
from hat.data import TokenStore
from hat.engine_specs import engines_on
from hat.errors import UserError, command
from hat.files import file_digest, read_json, write_json
from hat.hardware import Bench, Device, InventedBench, Timer, device_named, open_bench
from hat.pipeline.steps.folder import TEXT_DIGESTS
from hat.pipeline.steps.results import FIT, PREDICTOR, PREPARE, PREPARE_REPORT, STORES
from hat.pipeline.steps.step import Outcome
from hat.predictor import CostPredictor
from hat.recipe.file import design_space
from hat.recipe.recipe import Recipe
from hat.runtime import installed_engine, runs
from hat.search import LATENCY, Objective
from hat.space import DesignSpace


def fit_step(objective: Objective) -> str:
    """The step that fits the predictor of a measured objective."""
    return FIT if objective is LATENCY else f"{FIT}/{objective.name}"


class NotFinished(UserError):
    """An earlier stage's result is needed and not there."""


@dataclass
class Context:
    """One run while its stages are looked at or worked on.

    `timer`: latencies that tests invent; None measures the recipe's device. `writable`: the run
    folder is locked by this process. `say`: shows the user a message about trouble that may pass.
    """

    root: Path
    recipe: Recipe
    timer: Timer | None = None
    writable: bool = False
    say: Callable[[str], None] = lambda line: None
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def outcome(self, name: str) -> Outcome:
        """The finished step `name`. Raises NotFinished naming the command that makes it."""
        if name not in self.outcomes:
            stage = name.split("/", maxsplit=1)[0]
            raise NotFinished(f"{name} is not finished; run `{command('hat', stage, self.root)}` first")
        return self.outcomes[name]

    def stores(self, step: str) -> tuple[TokenStore, TokenStore]:
        """Training and validation text, as the finished step `step` left them (STORES)."""
        folder = self.outcome(step).folder
        train, valid = (TokenStore.open(folder / name) for name in STORES)
        return train, valid

    @cached_property
    def device(self) -> Device:
        """The recipe's device as it will run models: what the recipe leaves open is as declared.

        Raises UserError listing the known devices where there is none such, and where its engine is
        absent here though it is needed here.
        """
        settings = self.recipe.device
        file = None if settings.file is None else Path(settings.file)
        declared = Device(settings.name) if settings.latencies else device_named(settings.name, file)
        threads = settings.threads or declared.threads
        engine = declared.engine if settings.engine == "auto" else settings.engine
        here = declared.address is None and declared.accelerator == "cpu"
        return replace(
            declared,
            engine=installed_engine(settings.engine) if here else engine,
            precision=settings.precision or declared.precision,
            threads=threads,
            cores=declared.cores if len(declared.cores) >= threads else (),
        )

    @cached_property
    def scoring_engine(self) -> str:
        """The engine that translates the test text, which happens here: the device's if it can."""
        return self.device.engine if self.device.address is None else installed_engine("auto")

    def engine_for(self, architecture: AnyArchitecture) -> str:
        """The engine that runs `architecture` on the device: the device's, or the first other that does.

        Raises UserError where none is installed here though it is needed here.
        """
        if runs(self.device.engine, architecture):
            return self.device.engine
        return "auto" if self.device.address else installed_engine("auto", architecture)

    def scoring_engine_for(self, architecture: AnyArchitecture) -> str:
        """The engine that translates the test text with `architecture`. Raises UserError as above."""
        engine = self.scoring_engine
        return engine if runs(engine, architecture) else installed_engine("auto", architecture)

    def scoring_device_inputs(self, engine: str) -> dict[str, str]:
        """The inputs of a step that translates here with `engine`: engine and, unless it is the processor,
        accelerator."""
        accelerator = self.scoring_accelerator(engine)
        return {"engine": engine} | ({} if accelerator == "cpu" else {"accelerator": accelerator})

    def scoring_accelerator(self, engine: str) -> str:
        """The accelerator on which `engine` translates the test text: the device's, if that is here."""
        accelerator = self.device.accelerator if self.device.address is None else "cpu"
        return accelerator if engine in engines_on(accelerator) else "cpu"

    @property
    def published_latencies(self) -> Path | None:
        """The file of published latencies that stands for a device, if one does."""
        name = self.recipe.device.latencies
        return None if name is None else Path(name)

    def predictor(self, objective: Objective = LATENCY) -> CostPredictor:
        """The fitted predictor of a measured objective. Raises NotFinished."""
        path = self.outcome(fit_step(objective)).folder / PREDICTOR
        return CostPredictor.from_dict(read_json(path), str(path))

    @contextmanager
    def open_bench(self) -> Iterator[Bench]:
        """The device, ready to time models; one that is only known by published latencies is invented
        from their predictor. Raises what opening it raises."""
        if self.timer:
            yield InventedBench(self.timer)
        elif self.published_latencies:
            predictor = self.predictor()

            def predicted(architecture: AnyArchitecture, pair: tuple[int, int]) -> float:
                assert isinstance(architecture, Architecture)  # the recipe was refused otherwise
                return float(predictor.predict([architecture])[0])

            yield InventedBench(predicted, {"published": self.published_latencies.name})
        else:
            with open_bench(self.device, self.say) as bench:
                yield bench

    @cached_property
    def space(self) -> DesignSpace:
        """The design space."""
        return design_space(self.recipe)

    def model_config(self, architecture: AnyArchitecture, *, elastic: bool = True) -> ModelConfig:
        """An architecture with this run's vocabularies; `elastic`: it belongs to the design space."""
        vocab = read_json(self.outcome(PREPARE).folder / PREPARE_REPORT)["vocab"]
        largest, norm = self.space.largest(), self.recipe.norm
        return ModelConfig(
            architecture,
            vocab["source"],
            vocab["target"],
            embeddings="shared" if self.recipe.data.vocabulary.joint else "separate",
            encoder_super_dim=largest.encoder.embed_dim if elastic else 0,
            decoder_super_dim=largest.decoder.embed_dim if elastic else 0,
            norm=norm if norm in family_of(architecture).norms else "post",
        )

    @property
    def norm_inputs(self) -> dict[str, str]:
        """The input of steps, beside the architecture, where Transformers are not as published."""
        return {} if self.recipe.norm == "post" else {"norm": self.recipe.norm}

    def text_digest(self, path: Path) -> str:
        """Digest of a text file of the user's, remembered while size and time of change stay.

        A file that has gone since it was last read keeps its digest: what was made of it stays.
        Raises UserError for one that was never there.
        """
        known = self._known_digests
        try:
            state = path.stat()
        except OSError as error:
            if str(path) in known:
                return str(known[str(path)]["sha256"])
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error
        stamp = {"bytes": state.st_size, "changed": state.st_mtime_ns}
        entry = known.get(str(path), {})
        if {key: entry.get(key) for key in stamp} != stamp:
            try:
                entry = {**stamp, "sha256": file_digest(path)}
            except OSError as error:
                raise UserError(f"{path}: cannot be read ({error.strerror})") from error
            known[str(path)] = entry
            if self.writable:
                write_json(self.root / TEXT_DIGESTS, known)
        return str(entry["sha256"])

    @cached_property
    def _known_digests(self) -> dict[str, Any]:
        path = self.root / TEXT_DIGESTS
        return dict(read_json(path)) if path.exists() else {}
