"""The steadiness of a device: one small fixed model, timed again and again."""

from dataclasses import dataclass

import numpy as np

from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.hardware.device.bench import AgentBench
from hat.hardware.device.device import Device
from hat.hardware.measuring.measurement import NOISY
from hat.hardware.protocol import MeasureProtocol
from hat.intervals import PAIRED_NOISE, QUARTILES, looks, typical_half_width
from hat.progress import Progress, silent

ROUNDS = 20
LENGTH = 20
# It takes milliseconds on a laptop and tens of them on a Raspberry Pi, as short as the models of a search.
ENCODER, DECODER = Encoder(256, (EncoderLayer(512, 4),) * 3), Decoder(256, (DecoderLayer(512, 4, 4),) * 2)
MODEL = ModelConfig(Architecture(256, ENCODER, DECODER), source_vocab=4000, target_vocab=4000)
MOST_ROUNDS = 4096  # a machine that needs more is too noisy


@dataclass(frozen=True)
class Calibration:
    """`noise`: the interquartile range of the times as a share of their median. `rounds`: the approximate
    number of rounds until a model's latency is known within the protocol's interval, if noise is normal and
    the only disturbance."""

    times_ms: tuple[float, ...]
    median_ms: float
    noise: float
    rounds: int
    verdict: str

    @property
    def measurable(self) -> bool:
        """True if the device is steady enough to measure on now."""
        return self.noise <= NOISY


def calibration_protocol(device: Device) -> MeasureProtocol:
    """The protocol of `calibrate`."""
    return MeasureProtocol(
        (LENGTH,),
        (LENGTH,),
        engine=device.engine,
        threads=device.threads,
        precision=device.precision,
        accelerator=device.accelerator,
        warmup=5,
    )


def calibrate(bench: AgentBench, protocol: MeasureProtocol, progress: Progress = silent) -> Calibration:
    """Time MODEL. Raises UserError where the device lacks the engine, HatError where it is lost."""
    slot, _ = bench.load(MODEL, protocol)
    times = []
    for number in range(ROUNDS):
        progress(number, ROUNDS, "calibrating")
        times.append(sum(bench.time(slot).pairs_ms))
    bench.unload(slot)
    return judged(times, protocol)


def judged(times_ms: list[float], protocol: MeasureProtocol) -> Calibration:
    """The calibration that follows from the times of calls."""
    low, median, high = np.percentile(times_ms, [25, 50, 75]).tolist()
    noise = (high - low) / median
    rounds = _rounds(noise / QUARTILES, protocol)
    verdict = "steady" if rounds <= protocol.rounds else "noisy"
    if noise > NOISY:
        verdict = "too noisy to measure"
    return Calibration(tuple(times_ms), median, noise=noise, rounds=rounds, verdict=verdict)


def _rounds(deviation: float, protocol: MeasureProtocol) -> int:
    """The first number of rounds after which a series with this noise typically ends."""
    counts = sorted({*looks(protocol.rounds), *looks(MOST_ROUNDS)})
    widths = ((count, PAIRED_NOISE * deviation * typical_half_width(count)) for count in counts)
    return next((count for count, width in widths if width <= protocol.interval), MOST_ROUNDS)
