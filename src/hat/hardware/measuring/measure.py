"""Latency measurement in interleaved randomised rounds; a reference model in each round shows drift."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from hat.architecture import ModelConfig
from hat.hardware.device.answers import Timing
from hat.hardware.device.bench import Bench
from hat.hardware.device.link import LinkLost, NoAnswer
from hat.hardware.measuring.measurement import DISTURBED, Measurement, summarise
from hat.hardware.measuring.store import MeasurementStore, Record, model_key
from hat.hardware.protocol import MeasureProtocol
from hat.intervals import looks, relative_times, timed_enough
from hat.progress import Progress, silent

# Models timed together: enough to spread drift over many, little enough to hold in memory.
BLOCK = 8
FIRST_ROUNDS = 3  # in which the encoder is timed alone as well
BUSY_ROUNDS = 16  # enough rounds if other work disturbs most of them
TRIES = 3  # at a call that other work does not disturb
ATTEMPTS = 5  # at a block whose device is lost each time


@dataclass(frozen=True)
class Series:
    """The series of measurements that are compared with each other; `name` says their purpose."""

    store: MeasurementStore
    name: str
    device: str
    protocol: MeasureProtocol
    reference: ModelConfig

    def records(self) -> dict[str, Record]:
        """Model → measurement, of the models that are measured already."""
        return self.store.series(self.name, self.device, self.protocol.digest(), model_key(self.reference))

    def forget_older(self) -> int:
        """Remove measurements of a number of rounds at which series no longer end, since their intervals
        would not have the stated confidence; returns their number."""
        ends = looks(self.protocol.rounds)
        old = [record for record in self.records().values() if len(record.pairs_ms) not in ends]
        self.store.remove(old)
        return len(old)


def measure(
    models: Sequence[ModelConfig],
    series: Series,
    bench: Bench,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> list[Measurement]:
    """Time models with random weights in the deployed engine; results in the order of `models`.

    Each block of models is timed in rounds of random order, in which the series' reference (best the largest
    model) comes twice. A model that has its confidence interval is written to disk and leaves the block
    before the others go on; models that the series has already are not measured again. Raises UserError if
    the device was another machine before, LinkLost if it is lost for good.
    """
    if not models:
        return []
    series.store.discard_damaged(series.name)
    environment = series.store.begin(series.device, bench.environment(), series.protocol)
    if older := series.forget_older():
        progress(0, len(models), f"measurements made again, as an older stopping rule ended them: {older}")
    done = series.records()
    waiting = list({model_key(model): model for model in models if model_key(model) not in done}.values())
    for start in range(0, len(waiting), BLOCK):
        block, before = waiting[start : start + BLOCK], len(models) - len(waiting) + start
        part = _continued(progress, before, len(models))
        _measure_block(block, series, bench, environment=environment, seed=seed, progress=part)
    progress(len(models), len(models), "models measured")
    return summarise(models, series.records(), series.protocol)


def _continued(progress: Progress, before: int, total: int) -> Progress:
    """The progress of a block, of which `before` of `total` models are done already."""
    return lambda done, _, note: progress(before + done, total, note)


def _measure_block(
    block: Sequence[ModelConfig],
    series: Series,
    bench: Bench,
    *,
    environment: int,
    seed: int,
    progress: Progress,
) -> None:
    """Time a block, again if the device is lost; measured models are kept."""
    for attempt in range(ATTEMPTS):
        done = series.records()
        left = [model for model in block if model_key(model) not in done]
        if not left:
            return
        try:
            _Block(left, series, bench, environment=environment, seed=seed).run(progress, len(block))
        except LinkLost as error:
            # A device that stayed silent until its time limit is asked only once more, since that takes long.
            if attempt == ATTEMPTS - 1 or (attempt and isinstance(error, NoAnswer)):
                raise
            progress(len(block) - len(left), len(block), "the device was lost; connecting again")
            bench.reopen()


@dataclass
class _Subject:
    """A model under way."""

    model: ModelConfig
    slot: int
    memory_bytes: int | None
    pairs_ms: list[list[float]] = field(default_factory=list)
    first_ms: list[list[float]] = field(default_factory=list)
    joules: list[float | None] = field(default_factory=list)
    disturbed: int = 0


class _Block:
    """Models that are timed together, with the reference model twice a round."""

    def __init__(
        self, models: Sequence[ModelConfig], series: Series, bench: Bench, *, environment: int, seed: int
    ) -> None:
        self._series, self._bench, self._environment = series, bench, environment
        self._order = random.Random(f"{seed} {model_key(models[0])}")
        self._reference_ms: list[list[float]] = []
        self._reference = self._load(series.reference)
        self._subjects = [self._load(model) for model in models]

    def _load(self, model: ModelConfig) -> _Subject:
        return _Subject(model, *self._bench.load(model, self._series.protocol))

    def run(self, progress: Progress, total: int) -> None:
        """Time the models, of a block of `total` models, until each has its interval."""
        batch, most = self._series.protocol.batch, looks(self._series.protocol.rounds)[-1]
        for number in range(most):
            if not self._subjects:
                break
            done = total - len(self._subjects)
            progress(done + number / most, total, "models measured")
            turns = [*self._subjects, self._reference, self._reference]
            twice: list[float] = []
            for subject in self._order.sample(turns, len(turns)):
                timing = self._time(subject.slot)
                if subject is self._reference:
                    twice.append(sum(timing.pairs_ms) / len(timing.pairs_ms) / batch)
                    continue
                subject.pairs_ms.append([ms / batch for ms in timing.pairs_ms])
                subject.joules.append(timing.energy_j)
                subject.disturbed += timing.preempted > 0
                if number < FIRST_ROUNDS:
                    first = self._time(subject.slot, first=True)
                    subject.first_ms.append([ms / batch for ms in first.pairs_ms])
            self._reference_ms.append(twice)
            self._finish(self._hopeless(number + 1))
        self._bench.unload(self._reference.slot)

    def _hopeless(self, rounds: int) -> bool:
        """True if other work disturbs so much that more rounds would only take time."""
        if rounds < BUSY_ROUNDS or rounds not in looks(self._series.protocol.rounds):
            return False
        disturbed = sum(subject.disturbed for subject in self._subjects)
        return disturbed > DISTURBED * rounds * len(self._subjects)

    def _time(self, slot: int, *, first: bool = False) -> Timing:
        """The first of a few calls during which no other work took the core, or else the last one."""
        for _ in range(TRIES):
            timing = self._bench.time(slot, first=first)
            if not timing.preempted:
                break
        return timing

    def _finish(self, hopeless: bool) -> None:
        """Write and unload the models that are measured well enough, or all if the others are `hopeless`."""
        for subject in list(self._subjects):
            if hopeless or self._settled(subject):
                self._series.store.append(self._record(subject), self._environment)
                self._bench.unload(subject.slot)
                self._subjects.remove(subject)

    def _settled(self, subject: _Subject) -> bool:
        times = relative_times(subject.pairs_ms, self._reference_ms)
        return timed_enough(times, self._series.protocol.interval, self._series.protocol.rounds)

    def _record(self, subject: _Subject) -> Record:
        series, known = self._series, [joules for joules in subject.joules if joules is not None]
        return Record(
            series.name,
            series.device,
            model=model_key(subject.model),
            protocol=series.protocol.digest(),
            reference=model_key(series.reference),
            architecture=subject.model.architecture.to_dict(),
            pairs_ms=subject.pairs_ms,
            first_ms=subject.first_ms,
            reference_ms=list(self._reference_ms),
            memory_bytes=subject.memory_bytes,
            energy_j=sum(known) / len(known) / series.protocol.sentences if known else None,
            disturbed=subject.disturbed,
        )
