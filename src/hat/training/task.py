"""One training: its network, text and settings; everything but the processes that do it."""

from dataclasses import dataclass

from hat.data import TokenStore
from hat.training.loss import Lesson
from hat.training.settings import TrainingSettings
from hat.training.trainees import Trainee

# A teacher's lessons on the training text and on the validation text.
Lessons = tuple[Lesson, Lesson]


@dataclass(frozen=True)
class Task:
    """`texts`: for training and for validation; `lessons`: a teacher's labels of each."""

    trainee: Trainee
    texts: tuple[TokenStore, TokenStore]
    settings: TrainingSettings
    seed: int = 0
    lessons: Lessons | None = None
