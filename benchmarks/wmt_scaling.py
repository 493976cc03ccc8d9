"""The time that the SuperTransformer of wmt14-en-de takes, computed from measured rates (docs/scaling.md)."""

import random
import statistics
from collections.abc import Iterator
from math import prod

from hat import zoo
from hat.architecture import ModelConfig, weight_shapes
from hat.files import read_json
from hat.recipe import load_recipe
from reports import all_of, table
from training import operations_per_token

RECIPE, SPACE = "wmt14-en-de", "wmt-space0"
GPUS = (1, 8, 64)
DAY = 86400


def wmt_scaling() -> str:
    """The table, in Markdown. Rates of processors are those of the newest results of training.py."""
    recipe = load_recipe(RECIPE)
    training, vocabulary = recipe.super_training, recipe.data.vocabulary.size
    tokens = training.updates * training.accumulate * training.batch_tokens
    operations = operations_per_token(SPACE, "sampled", vocabulary)
    work = tokens * operations
    gradients = 4 * _mean_weights(vocabulary)
    rows = [
        ("target tokens at most", f"{training.updates:,} updates × {training.accumulate} × "
         f"{training.batch_tokens:,}", f"{tokens / 1e9:.1f} · 10⁹"),
        ("operations", f"× {operations / 1e6:.0f} MFLOP a token, forwards and backwards",
         f"{work / 1e18:.1f} · 10¹⁸"),
        ("gradients of an update", "float32, mean of sampled SubTransformers", f"{gradients / 1e6:.0f} MB"),
    ]  # fmt: skip
    rows += [
        (f"{threads} thread{'s' * (threads > 1)} of {cpu}", f"{rate:,} target tokens/s, measured",
         f"{tokens / rate / DAY:,.0f} days")
        for cpu, threads, rate in _rates()
    ]  # fmt: skip
    rows += [
        (f"{count} GPU{'s' * (count > 1)}", f"operations / ({count} · s · P)".replace("(1 · ", "("),
         f"{work / 1e12 / DAY / count:,.0f} / (s · P) days")
        for count in GPUS
    ]  # fmt: skip
    return table(("", "from", "is"), rows)


def _rates() -> Iterator[tuple[str, int, int]]:
    """Processor, threads and target tokens/s of each measurement of this network."""
    for results in all_of("training")[-1:]:
        report = read_json(results / "report.json")
        for row in report["rows"]:
            if (row["case"], row["kind"]) == (SPACE, "sampled"):
                (now,) = (line for line in row["summary"] if line["contender"] == "now")
                yield report["environment"]["cpu"], row["threads"], now["tokens_per_second"]


def _mean_weights(vocabulary: int) -> float:
    """The mean number of weights of the SuperTransformer's tensors that a sampled network uses."""
    space = zoo.space(SPACE)
    shared = weight_shapes(ModelConfig(space.largest(), vocabulary, vocabulary))
    sizes = []
    for number in range(200):
        sampled = weight_shapes(ModelConfig(space.sample(random.Random(number)), vocabulary, vocabulary))
        sizes.append(sum(prod(shared[name]) for name in sampled))
    return statistics.mean(sizes)
