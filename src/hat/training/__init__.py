"""Training: the loop, its settings, sampling strategies, losses, the optimiser, checkpoints."""

from hat.training.accelerator import uses_bf16
from hat.training.journal import Position
from hat.training.loop import Stopped, Updater, train
from hat.training.loss import Lesson, label_smoothed_loss, validation_loss
from hat.training.sampling import SAMPLINGS, Sampling, UniformSampling
from hat.training.settings import SuperTrainingSettings, TrainingSettings
from hat.training.task import Lessons, Task
from hat.training.teacher import write_soft_labels, write_translations
from hat.training.threads import use_threads
from hat.training.trainees import SubTrainee, SuperTrainee, Trainee
from hat.training.validation import TrainingResult

__all__ = [
    "SAMPLINGS",
    "Lesson",
    "Lessons",
    "Position",
    "Sampling",
    "Stopped",
    "SubTrainee",
    "SuperTrainee",
    "SuperTrainingSettings",
    "Task",
    "Trainee",
    "TrainingResult",
    "TrainingSettings",
    "UniformSampling",
    "Updater",
    "label_smoothed_loss",
    "train",
    "use_threads",
    "uses_bf16",
    "validation_loss",
    "write_soft_labels",
    "write_translations",
]
