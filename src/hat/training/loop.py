"""The training loop: deterministic from its seed, resumable at any update to the same bytes."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, replace
from functools import cache, partial
from math import isfinite
from pathlib import Path
from types import FrameType

import torch
from torch import Tensor

from hat.data import Batch, TokenStore, collate, epoch_batches, sequential_batches
from hat.data.batches import Ids
from hat.errors import HatError
from hat.model.recomputation import recomputation
from hat.progress import Progress, silent
from hat.training.accelerator import accelerator, autocast, tensors
from hat.training.checkpoint import save_checkpoint
from hat.training.distributed import ALONE, World
from hat.training.divergence import diverged, first_not_finite, is_hopeless, note_skipped, rate_factor
from hat.training.journal import Journal, Position
from hat.training.loss import Lesson, Network, batch_loss, imitation_loss
from hat.training.memory import give_back_memory, kept_memory
from hat.training.memory_need import MemoryNeed, check_least, fit, free_memory, memory_need
from hat.training.micro_batches import halve, in_parts, in_words, is_out_of_memory
from hat.training.one_pass import OnePassAdamW
from hat.training.optimizer import apply_gradients, gradients, optimizers, set_gradients
from hat.training.processes import world_of
from hat.training.recovery import CHECKPOINT, resume
from hat.training.settings import TrainingSettings
from hat.training.task import Lessons, Task
from hat.training.threads import TrainingThreads, Trial
from hat.training.trainees import SubTrainee, SuperTrainee, Trainee
from hat.training.validation import SUMMARY, TrainingResult, Validator, finished_result


class Stopped(HatError):
    """A signal asked to stop; a checkpoint has been written. Exit code as shells give: 128 + signal."""

    def __init__(self, number: int) -> None:
        super().__init__("stopped after writing a checkpoint; the same command goes on from here")
        self.exit_code = 128 + number


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect SIGTERM and SIGINT instead of dying of them, so that the update under way can finish."""
    requests: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        requests.append(number)

    try:
        previous = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    except ValueError:  # not the main thread: signals are someone else's business
        previous = {}
    try:
        yield requests
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def train(
    trainee: Trainee,
    texts: tuple[TokenStore, TokenStore],
    *,
    settings: TrainingSettings,
    folder: Path,
    seed: int = 0,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
    lessons: Lessons | None = None,
) -> TrainingResult:
    """Train, leaving the kept weights in the trainee and in folder/model.safetensors.

    `texts`: for training and for validation; `say`: shows the user a message about trouble that was overcome;
    `lessons`: a teacher's labels of each text, to learn from and to be judged by. Training continues from the
    newest whole checkpoint in `folder` if there is one, and ends in the same bytes as an uninterrupted
    training on the same machine with the same numbers of processes and threads, which the folder records; not
    on a GPU, which sums in no fixed order.
    Raises HatError if the loss diverges or another process ends, Stopped after SIGTERM or SIGINT, UserError
    for checkpoints that are all damaged, damaged labels, or too little memory.
    """
    if (folder / SUMMARY).exists():
        return finished_result(trainee, folder)
    task = Task(trainee, texts, settings, seed, lessons)

    with world_of(task, folder, work=partial(take_part, folder=folder), rehearsal=_rehearsal) as world:
        return take_part(world, task, folder=folder, progress=progress, say=say)


def take_part(
    world: World,
    task: Task,
    *,
    folder: Path,
    progress: Progress = silent,
    say: Callable[[str], None] = lambda line: None,
) -> TrainingResult:
    """The part that one process has in a training; only the first one writes and talks."""
    trainee, settings, (train_store, valid_store) = task.trainee, task.settings, task.texts
    trainee.module.to(accelerator())
    lesson, valid_lesson = task.lessons or (None, None)
    updater = Updater(trainee, settings, lesson=lesson, seed=task.seed, world=world, say=say)
    position = Position()
    if world.main:
        position = resume(folder, trainee.module, updater.optimizers, say=say)
    position = Position(**world.from_main(asdict(position)))
    world.copy_weights(trainee.module)
    world.copy_optimizers(updater.optimizers)
    parts = position.parts
    fit_into_memory(updater, train_store, position)
    threads = _threads(updater, train_store, position, folder)
    valid = sequential_batches(valid_store, settings.batch_tokens)[world.rank :: world.size]
    validator = Validator(
        trainee,
        [collate(valid_store, rows) for rows in valid],
        settings=settings,
        lesson=valid_lesson,
        folder=folder,
        world=world,
        say=say,
    )
    journal = Journal(folder, position) if world.main else None
    with kept_memory(), stop_requests() as stop:
        batches = batches_of(task, world, position)
        while position.update < settings.updates and not validator.out_of_patience(position):
            with threads.update():
                updater.update(position, next(batches), journal)
            if position.update % settings.validate_every == 0 or position.update == settings.updates:
                validator.validate(position, journal)
            stopped = world.largest(stop[0] if stop else 0)
            # A checkpoint amid skipped updates may be of weights that no later update mends.
            regular = position.update % settings.checkpoint_every == 0 and not position.skipped_in_a_row
            due = stopped or threads.due or regular or position.parts != parts
            if due and world.main:
                save_checkpoint(folder / CHECKPOINT, trainee.module, updater.optimizers, asdict(position))
                parts = position.parts
            if stopped:
                raise Stopped(stopped)
            if threads.due:
                threads.measure_again()
            progress(position.update, settings.updates, journal.note if journal else "")
    return validator.keep(position)


class Updater:
    """Optimiser updates of a trainee, from `lesson` too where there is one."""

    def __init__(
        self,
        trainee: Trainee,
        settings: TrainingSettings,
        *,
        lesson: Lesson | None = None,
        seed: int = 0,
        world: World = ALONE,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.trainee, self.settings, self.lesson, self.seed = trainee, settings, lesson, seed
        self.world, self.say = world, say
        lends = isinstance(trainee, SubTrainee | SuperTrainee)
        self.optimizers = optimizers(trainee.module, settings, lends=lends)

    def networks(self, update: int) -> list[Network]:
        """The networks of an update, on the weights that the optimiser lends where it does."""
        optimizer, trainee = self.optimizers[0], self.trainee
        if isinstance(optimizer, OnePassAdamW) and isinstance(trainee, SubTrainee | SuperTrainee):
            return trainee.networks(update, lend=optimizer.lend)
        return trainee.networks(update)

    def largest(self) -> Network:
        """The largest network, as an update would have it."""
        optimizer, trainee = self.optimizers[0], self.trainee
        if isinstance(optimizer, OnePassAdamW) and isinstance(trainee, SubTrainee | SuperTrainee):
            return trainee.largest(optimizer.lend)
        return next(iter(trainee.validated().values()))

    def zero_grad(self) -> None:
        """Forget all gradients."""
        self.trainee.module.zero_grad()
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def update(self, position: Position, batches: Sequence[Batch], journal: Journal | None) -> None:
        """`learn`, and record it in position and journal; an update whose loss or gradient is not finite is
        skipped. Raises HatError if that happens too often."""
        started = time.perf_counter()
        mean, norm, count = self.learn(position, batches)
        position.tokens += count
        if not (isfinite(mean) and isfinite(norm)):
            return self._skip(batches, position, journal, loss=mean, norm=norm)
        position.update += 1
        position.skipped_in_a_row = 0
        if journal:
            journal.update(
                position,
                loss=mean,
                norm=norm,
                tokens=count,
                seconds=time.perf_counter() - started,
                learning_rate=self.optimizers[0].param_groups[0]["lr"],
            )
        return None

    def _skip(
        self,
        batches: Sequence[Batch],
        position: Position,
        journal: Journal | None,
        *,
        loss: float,
        norm: float,
    ) -> None:
        problem, update = f"loss {loss:g}, gradient norm {norm:g}", position.update
        position.update += 1
        consequence = note_skipped(position)
        if journal:
            journal.skipped(position, loss=loss, norm=norm)
        if is_hopeless(position, self.settings):
            parts, networks = in_parts(batches, position.parts), self._begin(update)
            found = gradients(self.trainee.module, self.optimizers)
            origin = first_not_finite(
                self.trainee.module, networks, parts, gradients=found, settings=self.settings
            )
            raise diverged(position, problem, origin)
        self.say(f"update {position.update:,}: {problem}; {consequence}")

    def learn(self, position: Position, batches: Sequence[Batch]) -> tuple[float, float, int]:
        """One update by the loss per target token of all processes' batches, of which `batches` are this
        one's; returns that loss, the gradient's norm, and the number of tokens."""
        module = self.trainee.module
        loss_sum, networks = self.compute_gradients(batches, position)
        tokens = sum(batch.target_tokens for batch in batches)
        if self.world.size > 1:
            position.parts = self.world.largest(position.parts)
            weights, precision = dict(module.named_parameters()), self.settings.exchange_precision
            summed = self.world.sum_gradients(
                gradients(module, self.optimizers), weights, precision=precision
            )
            set_gradients(module, self.optimizers, summed)
        loss_sum, total = self.world.sums(loss_sum, tokens)
        mean = loss_sum / total / networks
        norm = self.step(int(total) * networks, position, usable=isfinite(mean))
        return mean, norm, int(total)

    def compute_gradients(self, batches: Sequence[Batch], position: Position) -> tuple[float, int]:
        """Compute the gradients of the losses on all batches anew; returns the sum of the losses, and the
        number of networks. Where memory runs out, batches are computed in more parts from then on."""
        while True:
            networks = self._begin(position.update)
            self.zero_grad()
            try:
                parts = in_parts(batches, position.parts)
                return sum(self.add_gradients(networks, part) for part in parts), len(networks)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Here the error is gone, and with it the tensors that its traceback refers to.
            self.zero_grad()
            give_back_memory()
            words = halve(position, batches, self.settings)
            self.say(f"update {position.update + 1:,}: out of memory; from now on, {words}")

    def _begin(self, update: int) -> list[Network]:
        # All randomness of an update, so that resuming needs no generator's state.
        torch.manual_seed(self.world.seed(self.seed + update))
        self.trainee.module.train()
        return self.networks(update)

    def add_gradients(self, networks: list[Network], batch: Batch) -> float:
        """Add up the gradients of the networks' losses on a batch; returns the sum of these losses."""
        loss_sum = 0.0
        source, target_in, target = tensors(batch)
        smoothing = self.settings.label_smoothing
        teacher: Tensor | None = None
        for network in networks:
            with autocast(self.settings), recomputation(self.settings.activation_checkpointing):
                logits = network(source, target_in)
            if teacher is None:
                loss = batch_loss(logits, target, batch=batch, smoothing=smoothing, lesson=self.lesson)
            else:
                loss = imitation_loss(logits, target, teacher)
            torch.autograd.backward(loss)
            if self.trainee.distils and teacher is None:
                teacher = logits.detach()
            loss_sum += float(loss.detach())
        return loss_sum

    def step(self, tokens: int, position: Position, *, usable: bool = True) -> float:
        """`apply_gradients` with this updater's optimisers and settings."""
        return apply_gradients(
            self.trainee.module,
            self.optimizers,
            settings=self.settings,
            tokens=tokens,
            update=position.update,
            rate_factor=rate_factor(position),
            usable=usable,
        )


def fit_into_memory(updater: Updater, store: TokenStore, position: Position) -> None:
    """Let batches be computed in parts if the memory predicted for whole ones is not available, and say so.
    Raises UserError if even gradients and moments do not fit."""
    available = free_memory(updater.world.neighbours)
    if available is None:
        return
    weights, moments = _held_bytes(updater, position)
    check_least(weights + moments, available)
    parts, numbers = fit(predicted_need(updater, store, position), available, position.parts)
    position.parts = updater.world.largest(parts)
    if numbers:
        updater.say(f"{numbers}; {in_words(position.parts, updater.settings)}")


def predicted_need(updater: Updater, store: TokenStore, position: Position) -> MemoryNeed:
    """The memory that the updates from a position on will take with the largest network."""
    network = updater.largest()
    networks = [network, network] if updater.trainee.distils else [network]

    def gradients(batch: Batch) -> None:
        updater.zero_grad()
        updater.add_gradients(networks, batch)

    updater.trainee.module.train()
    weights, moments = _held_bytes(updater, position)
    budget = updater.settings.batch_tokens
    need = memory_need(gradients, store, batch_tokens=budget, weights=weights, moments=moments)
    updater.zero_grad()
    return need


def _held_bytes(updater: Updater, position: Position) -> tuple[int, int]:
    """Bytes of the weights, and of the moments that the optimiser has not yet made."""
    weights = sum(one.numel() * one.element_size() for one in updater.trainee.module.parameters())
    return weights, 0 if position.update else 2 * weights


def _threads(updater: Updater, store: TokenStore, position: Position, folder: Path) -> TrainingThreads:
    """The threads of this process; only one without others measures and records their number."""
    world, trial = updater.world, _trial(updater, store, position)
    if world.size == 1:
        return TrainingThreads(folder, updater.settings.threads, trial)
    return TrainingThreads(None, world.threads, trial)


def _trial(updater: Updater, store: TokenStore, position: Position) -> Trial:
    """The work of an update without its last step, which would change the weights."""
    batches = cache(lambda: epoch_batches(store, updater.settings.batch_tokens, updater.seed, 0))

    def trial(update: int) -> None:
        batch, at = collate(store, batches()[update % len(batches())]), replace(position, update=update)
        updater.compute_gradients([batch], at)
        updater.zero_grad()
        position.parts = at.parts

    return trial


def _rehearsal(task: Task) -> Callable[[World, int], object]:
    """Updates of a copy of the trainee, by the processes of any world."""
    store, settings = task.texts[0], task.settings
    lesson = task.lessons[0] if task.lessons else None
    updater = Updater(deepcopy(task.trainee), settings, lesson=lesson, seed=task.seed)
    epoch = epoch_batches(store, settings.batch_tokens, task.seed, 0)

    def update(world: World, number: int) -> None:
        first = number * settings.accumulate
        rows = [epoch[place % len(epoch)] for place in range(first, first + settings.accumulate)]
        updater.world = world
        updater.learn(Position(update=number), [collate(store, some) for some in world.share(rows)])

    return update


def batches_of(task: Task, world: World, position: Position) -> Iterator[list[Batch]]:
    """This process's batches of one update after another, from `position` on, without end; `position`
    follows."""
    store, settings = task.texts[0], task.settings
    epoch = epoch_batches(store, settings.batch_tokens, task.seed, position.epoch)
    while True:
        rows: list[Ids] = []
        while len(rows) < settings.accumulate:
            if position.batch == len(epoch):
                position.epoch, position.batch = position.epoch + 1, 0
                epoch = epoch_batches(store, settings.batch_tokens, task.seed, position.epoch)
            rows.append(epoch[position.batch])
            position.batch += 1
        yield [collate(store, some) for some in world.share(rows)]
