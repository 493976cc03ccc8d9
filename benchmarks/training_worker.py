"""One contender of `training.py`, in a process of its own: trains as many updates as each line asks for.

It trains on the first GPU that PyTorch finds, else on the processor. An input line is a number of updates;
the answer is a JSON object: target tokens, seconds and processor seconds of each update, and the most memory
so far (bytes; the GPU's where there is one). The line "split" trains one update under PyTorch's profiler and
answers its seconds by phase and kind of operator, those of the GPU where there is one; "peaks" answers the
operations and bytes per second of large products and copies.
"""

import argparse
import inspect
import json
import random
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function

from hat import zoo
from hat.architecture import Architecture, ModelConfig
from hat.data import TokenStore, collate, epoch_batches, write_store
from hat.model import Dropout, SuperTransformer
from hat.space import DesignSpace
from hat.training import SuperTrainee, TrainingSettings, UniformSampling, train

PAD = 1
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ON_GPU = DEVICE.type == "cuda"
# Rows, inputs and outputs of the product whose speed is the peak: a large layer's, on a GPU what fills it.
PEAK_PRODUCT = (8192, 8192, 8192) if ON_GPU else (1024, 1024, 4096)
# Operators by kind, the first that fits.
KINDS = {
    "products": ("mm", "addmm", "bmm", "baddbmm", "mkldnn_linear"),
    "attention, flash": ("_flash_attention_forward", "_flash_attention_backward"),
    "attention, memory-efficient": ("_efficient_attention_forward", "_efficient_attention_backward"),
    "attention, cuDNN": ("_cudnn_attention_forward", "_cudnn_attention_backward"),
    "optimiser": ("_fused_adamw_",),
    "copies and casts": ("copy_", "cat", "fill_", "zero_", "clone"),
    "norms and softmax": ("native_layer_norm", "native_layer_norm_backward", "_softmax", "_log_softmax"),
    "allocation": ("empty", "empty_strided", "empty_like", "new_empty"),
}


@dataclass(frozen=True)
class Case:
    """A network and its text. `batch_tokens`: as the recipes have; `length`: mean tokens of a sentence."""

    space: str
    vocabulary: int
    batch_tokens: int
    length: int
    dropout: float
    norm: str = "post"


CASES = {
    "wmt-space0": Case("wmt-space0", 32768, 1000, 27, 0.1),
    "multi30k": Case("multi30k", 4000, 2048, 14, 0.1, "pre"),
    "demo": Case("demo", 2400, 1200, 11, 0.0),
}


def text(case: Case, folder: Path, sentences: int) -> TokenStore:
    """Random sentences; a few words are frequent and most are rare, as in texts."""
    rng = random.Random(0)

    def sentence(length: float) -> list[int]:
        words = max(1, round(rng.gauss(length, length / 3)))
        return [4 + int((case.vocabulary - 4) * rng.random() ** 3) for _ in range(words)]

    sources = [sentence(case.length) for _ in range(sentences)]
    targets = [sentence(len(source)) for source in sources]
    return write_store(folder, [(sources, targets)], (case.vocabulary, case.vocabulary))


class Sampling(UniformSampling):
    """SubTransformers of a kind: "sampled", or every time the "largest"."""

    def __init__(self, space: DesignSpace, kind: str) -> None:
        super().__init__(space)
        self.kind = kind

    def architectures(self, update: int) -> list[Architecture]:
        return [self.space.largest()] if self.kind == "largest" else super().architectures(update)


class Trainee(SuperTrainee):
    """A SuperTransformer whose passes forward the profiler can tell from the rest."""

    def networks(self, update: int, **options: Any) -> list[Any]:
        def recorded(network: Callable[[Tensor, Tensor], Tensor], source: Tensor, target: Tensor) -> Tensor:
            with record_function("phase: forward"):
                return network(source, target)

        return [
            lambda source, target, network=network: recorded(network, source, target)
            for network in super().networks(update, **options)
        ]


class Plain(nn.Module):
    """torch.nn.Transformer between tied embeddings, of the largest SubTransformer's sizes."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        largest = zoo.space(case.space).largest()
        layer = largest.encoder.layers[0]
        self.dim = largest.encoder_dim
        self.embedding = nn.Embedding(case.vocabulary, self.dim, padding_idx=PAD)
        nn.init.normal_(self.embedding.weight, std=self.dim**-0.5)
        self.body = nn.Transformer(
            self.dim,
            layer.heads,
            len(largest.encoder.layers),
            len(largest.decoder.layers),
            layer.ffn_dim,
            case.dropout,
            batch_first=True,
            norm_first=case.norm == "pre",
        )

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool, device=DEVICE).triu(1)
        hidden = source == PAD
        x, y = (self.dim**0.5 * self.embedding(tokens) for tokens in (source, target))
        y = self.body(
            x,
            y,
            tgt_mask=mask,
            src_key_padding_mask=hidden,
            memory_key_padding_mask=hidden,
            tgt_is_causal=True,
        )
        return F.linear(y, self.embedding.weight)


def train_plain(case: Case, store: TokenStore, pause: Callable[[], object]) -> None:
    """The loop that a reader of PyTorch's tutorials writes, in the precision of ours."""
    model = Plain(case).to(DEVICE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.98), fused=True)
    while True:
        for rows in epoch_batches(store, case.batch_tokens, 0, 0):
            batch = collate(store, rows)
            source, target_in, target = (
                torch.from_numpy(array).to(DEVICE)
                for array in (batch.source, batch.target_in, batch.target_out)
            )
            optimizer.zero_grad()
            with torch.autocast(DEVICE.type, torch.bfloat16), record_function("phase: forward"):
                logits = model(source, target_in)
            loss = F.cross_entropy(
                logits.flatten(0, 1).float(), target.flatten(), ignore_index=PAD, label_smoothing=0.1
            )
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            pause()


def train_ours(
    case: Case,
    kind: str,
    stores: tuple[TokenStore, TokenStore],
    *,
    threads: int,
    processes: int,
    pause: Callable[[], object],
) -> None:
    """`hat.training.train` of this version, without end."""
    space = zoo.space(case.space)
    config = ModelConfig(space.largest(), case.vocabulary, case.vocabulary, norm=case.norm)  # type: ignore[arg-type]
    torch.manual_seed(0)
    model = SuperTransformer(config, Dropout(case.dropout))
    trainee = Trainee(model, Sampling(space, kind), space.smallest())
    never = 10**9
    settings = TrainingSettings(
        updates=never,
        batch_tokens=case.batch_tokens,
        threads=threads // processes,
        **({"processes": processes} if processes > 1 else {}),  # earlier versions have no such setting
        validate_every=never,
        checkpoint_every=never,
        learning_rate=1e-4,
    )
    texts: Any = (stores,) if "texts" in inspect.signature(train).parameters else stores
    folder = Path(tempfile.mkdtemp(prefix="training-"))
    train(trainee, *texts, settings=settings, folder=folder, progress=lambda *_: pause())


class Pauses:
    """Between two updates: answers what the last ones took, and waits for the next line."""

    def __init__(self, tokens: Iterator[int]) -> None:
        self.tokens, self.left = tokens, 0
        self.updates: list[dict[str, float]] = []
        self.profiler: profile | None = None
        self.next_line()

    def __call__(self) -> None:
        finish()
        taken = time.perf_counter() - self.started
        processor = time.process_time() - self.processor
        self.updates.append({"tokens": next(self.tokens), "seconds": taken, "processor_seconds": processor})
        self.left -= 1
        if self.left == 0:
            self.answer()
            self.next_line()
        self.started, self.processor = time.perf_counter(), time.process_time()

    def answer(self) -> None:
        if self.profiler:
            self.profiler.stop()
            say({"split": split(self.profiler)})
            self.profiler = None
        else:
            say({"updates": self.updates, "memory": most_memory()})
        self.updates = []

    def next_line(self) -> None:
        while (line := sys.stdin.readline().strip()) == "peaks":
            say(peaks())
        if not line:
            raise SystemExit  # the benchmark has ended
        if line == "split":
            gpu = [ProfilerActivity.CUDA] if ON_GPU else []
            self.profiler = profile(activities=[ProfilerActivity.CPU, *gpu])
            self.profiler.start()
        self.left = 1 if line == "split" else int(line)
        self.started, self.processor = time.perf_counter(), time.process_time()


def finish() -> None:
    """Wait for the GPU, which computes beside this process."""
    if ON_GPU:
        torch.cuda.synchronize()


def most_memory() -> int:
    """The most bytes of the GPU, or of this process, that were in use at once."""
    if ON_GPU:
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def say(answer: Mapping[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def split(profiler: profile) -> dict[str, dict[str, float]]:
    """Phase → kind of operator → seconds of the operators themselves, on a GPU of what they started there."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for event in profiler.events() or ():
        if event.device_type != DeviceType.CPU:
            continue  # work of a GPU, which the operator that started it has already counted
        name = event.name.removeprefix("aten::")
        kind = next((kind for kind, names in KINDS.items() if name in names), "other")
        taken = event.self_device_time_total if ON_GPU else event.self_cpu_time_total
        found[phase(event)][kind] += taken / 1e6
    return {name: dict(kinds) for name, kinds in found.items()}


def phase(event: Any) -> str:
    """The part of an update that an operator belongs to."""
    while event is not None:
        if event.name.startswith("autograd::engine"):
            return "backward"
        if event.name.startswith("Optimizer."):
            return "optimiser"
        if event.name == "phase: forward":
            return "forward"
        event = event.cpu_parent
    return "loss, gradient norm, batches"


def peaks() -> dict[str, float]:
    """Operations per second of PEAK_PRODUCT in float32 and bf16, and bytes per second of copying memory that
    no cache holds."""
    found = {}
    rows, inputs, outputs = PEAK_PRODUCT
    for dtype in (torch.float32, torch.bfloat16):
        # Random: a GPU multiplies equal numbers faster.
        x, weight = (torch.randn(size, inputs, device=DEVICE).to(dtype) for size in (rows, outputs))
        seconds = fastest(partial(F.linear, x, weight))
        found[str(dtype).removeprefix("torch.")] = 2 * rows * inputs * outputs / seconds
    from_here, to_there = (torch.ones(1 << 26, device=DEVICE) for _ in range(2))
    found["bytes"] = 2 * 4 * (1 << 26) / fastest(lambda: to_there.copy_(from_here))
    return found


def fastest(work: Callable[[], object]) -> float:
    """Least seconds of nine."""
    times = []
    for _ in range(10):
        finish()
        began = time.perf_counter()
        work()
        finish()
        times.append(time.perf_counter() - began)
    return min(times[1:])


def target_tokens(store: TokenStore, budget: int) -> Iterator[int]:
    """Target tokens of each update's batch, as the loop orders batches."""
    epoch = 0
    while True:
        for rows in epoch_batches(store, budget, 0, epoch):
            yield collate(store, rows).target_tokens
        epoch += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("kind", choices=("sampled", "largest", "plain"))
    parser.add_argument("threads", type=int)
    parser.add_argument("--sentences", type=int, default=4000)
    parser.add_argument("--processes", type=int, default=1, help="that share each batch, and the threads")
    parser.add_argument("--batch-tokens", type=int, help="instead of the case's")
    options = parser.parse_args()
    case = CASES[options.case]
    if options.batch_tokens:
        case = replace(case, batch_tokens=options.batch_tokens)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory(prefix="training-") as folder:
        stores = tuple(
            text(case, Path(folder, name), count)
            for name, count in (("train", options.sentences), ("valid", 2))
        )
        pauses = Pauses(target_tokens(stores[0], case.batch_tokens))
        if options.kind == "plain":
            train_plain(case, stores[0], pauses)
        else:
            train_ours(
                case,
                options.kind,
                (stores[0], stores[1]),
                threads=options.threads,
                processes=options.processes,
                pause=pauses,
            )


if __name__ == "__main__":
    main()
