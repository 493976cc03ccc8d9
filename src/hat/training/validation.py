"""The validations of a training, and the weights that it keeps: of the best snapshot, or an average."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import log
from pathlib import Path
from typing import Any

from torch import Tensor

from hat.data import Batch
from hat.errors import HatError, UserError
from hat.files import read_json, write_json
from hat.model import TranslationModel
from hat.training.accelerator import autocast
from hat.training.checkpoint import DamagedCheckpoint, load_tensors, load_weights, save_tensors
from hat.training.distributed import World
from hat.training.journal import Journal, Position, loss_of
from hat.training.loss import Lesson, validation_loss
from hat.training.micro_batches import in_parts
from hat.training.recovery import checkpoints, kept_positions
from hat.training.settings import TrainingSettings
from hat.training.trainees import Trainee

MODEL, SUMMARY = "model.safetensors", "training.json"


@dataclass(frozen=True)
class TrainingResult:
    """`loss`: validation loss of the kept weights, in nats per token; `kept`: their description."""

    loss: float
    kept: str
    updates: int
    history: list[dict[str, Any]]


class Validator:
    """Validates a trainee, leaving snapshots in `folder`. The best weights are those of the least validation
    loss, computed as the training's loss is: with a lesson, against the teacher's labels too. Each process of
    the world computes the losses of its `batches`."""

    def __init__(
        self,
        trainee: Trainee,
        batches: list[Batch],
        *,
        settings: TrainingSettings,
        lesson: Lesson | None,
        folder: Path,
        world: World,
        say: Callable[[str], None],
    ) -> None:
        self.trainee, self.batches, self.settings = trainee, batches, settings
        self.lesson, self.folder = lesson, folder
        self.world, self.say = world, say

    def validate(self, position: Position, journal: Journal | None) -> None:
        """Append the losses to the position's history and leave a snapshot; of the earlier ones, only the
        best and the last stay, of this position and of the checkpoints. Raises HatError if the training has
        diverged."""
        losses = self._losses(position)
        mean = sum(losses.values()) / len(losses)
        position.history.append({"update": position.update, "loss": mean, **losses})
        if journal:
            journal.validation(position)
        module = self.trainee.module
        assert isinstance(module, TranslationModel)
        if not mean < 2 * log(module.config.target_vocab):  # twice the loss of a uniform guess
            raise HatError(
                f"training diverged: validation loss {mean:.2f} at update {position.update}; "
                "a lower learning_rate or a longer warmup may help"
            )
        if not self.world.main:
            return
        save_tensors(self._snapshot(position.update), dict(module.named_parameters()))
        self._prune(position)

    def out_of_patience(self, position: Position) -> bool:
        """True after `patience` validations without gain."""
        if not self.settings.patience or not position.history:
            return False
        losses = [record["loss"] for record in position.history]
        return len(losses) - 1 - losses.index(min(losses)) >= self.settings.patience

    def keep(self, position: Position) -> TrainingResult:
        """Keep the best snapshot or the average of the last ones, whichever validates better, and remove
        all that only an unfinished training needs. Damaged snapshots are left out. Raises UserError if none
        is whole."""
        module, folder, main = self.trainee.module, self.folder, self.world.main
        whole = self.world.from_main(list(filter(self._is_whole, position.history)) if main else [])
        if not whole:
            raise UserError(
                f"{folder}: no snapshot of the weights is whole; delete the folder to train again"
            )
        best = min(whole, key=loss_of)["update"]
        last = position.history[-self.settings.average :]
        recent = [record["update"] for record in last if record in whole] or [best]
        names = (f"average of updates {', '.join(map(str, recent))}", f"update {best}")
        candidates: list[dict[str, Tensor]] = [{}, {}]  # only process 0 reads files
        if main:
            candidates = [self._mean(recent), load_tensors(self._snapshot(best))[0]]
        losses = {}
        for name, weights in zip(names, candidates, strict=True):
            if main:
                load_weights(folder, module, weights)
            self.world.copy_weights(module)
            values = self._losses(position)
            losses[name] = sum(values.values()) / len(values)
        kept = min(losses, key=lambda name: losses[name])
        weights = candidates[names.index(kept)]
        if main:
            load_weights(folder, module, weights)
        self.world.copy_weights(module)
        module.cpu()
        result = TrainingResult(losses[kept], kept, position.update, position.history)
        if main:
            save_tensors(folder / MODEL, weights)
            write_json(folder / SUMMARY, {**asdict(result), "target_tokens": position.tokens})
            _clear(folder)
        return result

    def _losses(self, position: Position) -> dict[str, float]:
        self.trainee.module.eval()
        batches, smoothing = in_parts(self.batches, position.parts), self.settings.label_smoothing
        with autocast(self.settings):
            losses = {
                name: validation_loss(network, batches, smoothing=smoothing, lesson=self.lesson)
                for name, network in self.trainee.validated().items()
            }
        return self.world.means(losses, self.batches)

    def _prune(self, position: Position) -> None:
        # A training that goes on from a checkpoint needs that position's best snapshot again where the
        # arithmetic differs, on a GPU or with another number of threads: its later losses may be larger.
        needed = {
            record["update"]
            for one in (position, *kept_positions(self.folder))
            if one.history
            for record in (one.best, *one.history[-self.settings.average :])
        }
        for record in position.history:
            if record["update"] not in needed:
                self._snapshot(record["update"]).unlink(missing_ok=True)

    def _is_whole(self, record: Mapping[str, Any]) -> bool:
        """True if the snapshot of a validation is there and not damaged."""
        path = self._snapshot(record["update"])
        try:
            return path.exists() and bool(load_tensors(path)[0])
        except DamagedCheckpoint as error:
            self.say(f"{path}: damaged snapshot ({error.problem}); left out of what is kept")
            return False

    def _snapshot(self, update: int) -> Path:
        return self.folder / f"snapshot-{update}.safetensors"

    def _mean(self, updates: list[int]) -> dict[str, Tensor]:
        total: dict[str, Tensor] = {}
        for update in updates:
            for name, tensor in load_tensors(self._snapshot(update))[0].items():
                total[name] = total[name] + tensor if name in total else tensor
        return {name: tensor / len(updates) for name, tensor in total.items()}


def finished_result(trainee: Trainee, folder: Path) -> TrainingResult:
    """The result of a training that an earlier call finished; its weights are loaded into the trainee."""
    load_weights(folder / MODEL, trainee.module, load_tensors(folder / MODEL)[0])
    summary = read_json(folder / SUMMARY)
    _clear(folder)
    return TrainingResult(**{name: summary[name] for name in TrainingResult.__dataclass_fields__})


def _clear(folder: Path) -> None:
    for path in (*folder.glob("snapshot-*.safetensors"), *checkpoints(folder)):
        path.unlink(missing_ok=True)
