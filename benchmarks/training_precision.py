"""The gain by bf16 in training on this machine: the measurement behind `precision: auto`.

One update each in turn, fp32 and bf16, of the same networks on the same batches; medians.

    python benchmarks/training_precision.py [--rounds N] [--output FILE]
"""

import statistics
import time

import numpy as np
import torch

from hat import zoo
from hat.architecture import ModelConfig
from hat.model import Dropout, Transformer
from hat.training import TrainingSettings, label_smoothed_loss, uses_bf16
from reports import parser, save_record

VOCAB, SENTENCES, LENGTH = 4000, 220, 17
SPACES = ("demo", "multi30k")


def seconds(
    network: Transformer, optimizer: torch.optim.Optimizer, tokens: torch.Tensor, bf16: bool
) -> float:
    """Time of one update."""
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = network(tokens, tokens)
    label_smoothed_loss(logits, tokens, 0.1).backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.perf_counter() - started


def measure(space: str, rounds: int) -> dict[str, object]:
    """Medians over interleaved rounds, after one warm-up each."""
    torch.manual_seed(0)
    network = Transformer(ModelConfig(zoo.space(space).largest(), VOCAB, VOCAB), Dropout(0.1))
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    times: dict[bool, list[float]] = {False: [], True: []}
    for turn in range(rounds + 1):
        tokens = torch.from_numpy(np.random.default_rng(turn).integers(4, VOCAB, (SENTENCES, LENGTH)))
        for bf16, taken in times.items():
            elapsed = seconds(network, optimizer, tokens, bf16)
            if turn:
                taken.append(elapsed)
    rates = {bf16: SENTENCES * LENGTH / statistics.median(taken) for bf16, taken in times.items()}
    return {
        "space": space,
        "fp32_tokens_per_second": round(rates[False]),
        "bf16_tokens_per_second": round(rates[True]),
        "gain": round(statistics.median(a / b for a, b in zip(times[False], times[True], strict=True)), 2),
    }


def main() -> None:
    line = parser(__doc__, "training-precision", ".json")
    line.add_argument("--rounds", type=int, default=15)
    options = line.parse_args()
    results = [measure(space, options.rounds) for space in SPACES]
    for row in results:
        print(*(f"{key} {value}" for key, value in row.items()), sep="  ")
    chosen = "bf16" if uses_bf16(TrainingSettings(updates=1)) else "fp32"
    print(f"precision: auto chooses {chosen} on this machine")
    save_record(options.output, auto=chosen, rows=results, threads=torch.get_num_threads())


if __name__ == "__main__":
    main()
