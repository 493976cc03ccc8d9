"""The settings of one training: everything but the data and the network."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from hat.errors import shown
from hat.sections import Section
from hat.threads import MOST_THREADS
from hat.training.sampling import SamplingName


def _check_count(value: object) -> object:
    if value == "auto" or (type(value) is int and 1 <= value <= MOST_THREADS):
        return value
    raise ValueError(f"{shown(value)} is neither auto nor a whole number from 1 to {MOST_THREADS}")


class TrainingSettings(Section):
    """One training (`hat.training.optimizer`)."""

    updates: int = Field(gt=0, description="Optimiser updates; also where the cosine and the decay end.")
    batch_tokens: int = Field(
        4096, gt=0, description="Token budget of a batch: its longest sentence × sentences."
    )
    accumulate: int = Field(1, gt=0, description="Batches whose gradients are added up for one update.")
    optimizer: Literal["adam", "muon"] = Field(
        "adam",
        description="adam, as published; muon: Muon for the matrices, which learns more in each update, and "
        "Adam for embeddings, biases and norms.",
    )
    matrix_learning_rate: float = Field(
        0.02, gt=0, description="Peak learning rate of Muon; follows the same schedule."
    )
    schedule: Literal["cosine", "inverse-sqrt", "stable-decay"] = Field(
        "cosine",
        description="WMT: cosine; IWSLT: inverse-sqrt. stable-decay: the peak, then a straight line down.",
    )
    decay: float = Field(0.5, gt=0, le=1, description="Share of the updates in which stable-decay goes down.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate, reached after the warm-up.")
    floor_learning_rate: float = Field(
        1e-7, ge=0, description="Where the warm-up starts, and the cosine or the decay ends."
    )
    warmup: int = Field(1000, ge=0, description="Updates of linear warm-up; post-norm networks need one.")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="Probability spread over the vocabulary.")
    clip_norm: float = Field(0.0, ge=0, description="Largest gradient norm; 0 clips nothing.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled weight decay, per unit of learning rate.")
    dropout: float = Field(
        0.1, ge=0, lt=1, description="Dropout of the widest model; narrower ones get less in proportion."
    )
    attention_dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout of attention weights; slow on CPUs unless 0."
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto",
        description="Precision of products. auto: bf16 where the accelerator multiplies it in hardware.",
    )
    activation_checkpointing: bool = Field(
        False,
        description="Keep only the inputs of layers, and compute the rest again backwards: a third more "
        "time, less memory for activations, the same result.",
    )
    threads: Annotated[int | Literal["auto"], BeforeValidator(_check_count)] = Field(
        "auto",
        description="Processor threads. auto: the best number in a short measurement of this network. "
        "Decides only the order in which sums are rounded.",
    )
    processes: Annotated[int | Literal["auto"], BeforeValidator(_check_count)] = Field(
        1,
        description="Processes on this machine that share each batch; torchrun's take precedence. auto: as "
        "many of one thread as a short measurement finds best, or one of several; on GPUs, one for each.",
    )
    exchange_precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="Precision of gradients on their way between processes; bf16 halves the traffic."
    )
    validate_every: int = Field(500, gt=0, description="Updates between validations; each leaves a snapshot.")
    patience: int = Field(0, ge=0, description="Stop after this many validations without gain; 0: never.")
    average: int = Field(5, gt=0, description="Last snapshots to average; kept if better than the best one.")
    checkpoint_every: int = Field(200, gt=0, description="Updates between checkpoints to go on from.")


class SuperTrainingSettings(TrainingSettings):
    """The training of a SuperTransformer."""

    sampling: SamplingName = Field(
        "uniform",
        description="SubTransformers whose losses an update averages. uniform, the published: draws; fair: "
        "draws that use all choices of a gene equally often; sandwich: largest, smallest and draws; "
        "distilled-sandwich: the largest teaches the other two kinds.",
    )
    draws: int = Field(1, gt=0, description="SubTransformers drawn at random for an update.")
