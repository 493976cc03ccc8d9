"""Training: the loop, its settings, sampling strategies, losses, the optimiser, checkpoints."""

from hat.training.loop import Lessons, Stopped, Updater, train
from hat.training.loss import Lesson, label_smoothed_loss, validation_loss
from hat.training.settings import TrainingSettings
from hat.training.teacher import write_soft_labels, write_translations
from hat.training.trainees import SubTrainee, SuperTrainee, Trainee, UniformSampling
from hat.training.validation import TrainingResult

__all__ = [
    "Lesson",
    "Lessons",
    "Stopped",
    "SubTrainee",
    "SuperTrainee",
    "Trainee",
    "TrainingResult",
    "TrainingSettings",
    "UniformSampling",
    "Updater",
    "label_smoothed_loss",
    "train",
    "validation_loss",
    "write_soft_labels",
    "write_translations",
]
