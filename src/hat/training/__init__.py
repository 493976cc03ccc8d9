"""Training: the loop, its settings, sampling strategies, losses, schedules, checkpoints."""

from hat.training.distillation import Distillation
from hat.training.loop import Lessons, TrainingResult, train
from hat.training.loss import label_smoothed_loss, validation_loss
from hat.training.sampling import UniformSampling
from hat.training.settings import TrainingSettings
from hat.training.stopping import Stopped
from hat.training.teacher import write_soft_labels, write_translations
from hat.training.trainees import SubTrainee, SuperTrainee, Trainee

__all__ = [
    "Distillation",
    "Lessons",
    "Stopped",
    "SubTrainee",
    "SuperTrainee",
    "Trainee",
    "TrainingResult",
    "TrainingSettings",
    "UniformSampling",
    "label_smoothed_loss",
    "train",
    "validation_loss",
    "write_soft_labels",
    "write_translations",
]
