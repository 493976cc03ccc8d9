"""What a stage sees of its run: recipe, folder, and the outcomes of the steps before it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hat.architecture import Architecture, ModelConfig
from hat.errors import UserError
from hat.files import file_digest, read_json, write_json
from hat.hardware import Bench, InventedBench, Timer, open_bench
from hat.hardware.devices import Device, device_named
from hat.pipeline.recipe import Recipe
from hat.pipeline.recipe_file import design_space
from hat.pipeline.steps import Outcome
from hat.runtime import installed_engine
from hat.space import DesignSpace

TEXT_DIGESTS = "text-digests.json"


class NotFinished(UserError):
    """An earlier stage's result is needed and not there."""


@dataclass
class Context:
    """One run while its stages are looked at or worked on.

    `timer`: latencies that tests invent; None measures the recipe's device. `writable`: the run
    folder is locked by this process.
    """

    root: Path
    recipe: Recipe
    timer: Timer | None = None
    writable: bool = False
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def outcome(self, name: str) -> Outcome:
        """The finished step `name`. Raises NotFinished naming the command that makes it."""
        if name not in self.outcomes:
            stage = name.split("/", maxsplit=1)[0]
            raise NotFinished(f"{name} is not finished; run `hat {stage} {self.root}` first")
        return self.outcomes[name]

    @cached_property
    def device(self) -> Device:
        """The recipe's device. Raises UserError listing the known ones where there is none such."""
        return device_named(self.recipe.device.name)

    @cached_property
    def engine(self) -> str:
        """The engine that decodes on the device, "auto" resolved. Raises UserError where it is absent."""
        wanted = self.recipe.device.engine
        if self.device.address is None and self.device.accelerator == "cpu":
            return installed_engine(wanted)
        return self.device.engine if wanted == "auto" else wanted

    @cached_property
    def scoring_engine(self) -> str:
        """The engine that translates the test text here: the device's, where the device is here."""
        return self.engine if self.device.address is None else installed_engine("auto")

    @contextmanager
    def open_bench(self) -> Iterator[Bench]:
        """The device, ready to time models. Raises what opening it raises."""
        if self.timer:
            yield InventedBench(self.timer)
            return
        with open_bench(self.device, self.recipe.device.threads) as bench:
            yield bench

    @cached_property
    def space(self) -> DesignSpace:
        """The design space."""
        return design_space(self.recipe)

    def model_config(self, architecture: Architecture, *, elastic: bool = True) -> ModelConfig:
        """An architecture with this run's vocabularies; `elastic`: it belongs to the design space."""
        vocab = read_json(self.outcome("prepare").folder / "report.json")["vocab"]
        largest = self.space.largest()
        return ModelConfig(
            architecture,
            vocab["source"],
            vocab["target"],
            "shared" if self.recipe.data.vocabulary.joint else "separate",
            largest.encoder.embed_dim if elastic else 0,
            largest.decoder.embed_dim if elastic else 0,
        )

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
