"""The distillation section of a recipe: the teacher of the SubTransformers, and its lessons."""

from typing import Literal

from pydantic import Field

from hat.recipe.paths import PathOrName
from hat.sections import Section


class Distillation(Section):
    """Knowledge distillation: the found SubTransformers learn from a teacher too."""

    teacher: PathOrName
    """A baseline; `largest`, with the SuperTransformer's weights; or, with a `/` in it, the path of an
    artefact folder, such as another run's, of the same vocabulary, relative to the recipe's folder."""
    kind: Literal["tokens", "sequences", "both"] = "tokens"
    """`tokens`: its most probable tokens at every target position, beside the target itself, as the paper;
    `sequences`: its translations of the training text instead of the targets (Kim & Rush, 2016); `both`:
    its most probable tokens at every position of its translations."""
    references: bool = False
    """True keeps the targets of the text beside the translations, with `sequences` and `both`; `tokens` has
    them anyway."""
    top_k: int = Field(default=5, gt=0)
    """Most probable tokens that are kept at every position. The paper keeps 5."""
    weight: float = Field(default=0.9, gt=0, le=1)
    """Share of the teacher's tokens in the loss; the label-smoothed loss has the rest. The published code
    sets 0.9."""
    temperature: float = Field(default=1.0, gt=0)
    """Temperature of the softmax of teacher and student: above 1, less probable tokens count for more."""

    @property
    def is_path(self) -> bool:
        """True if the teacher is named by its path."""
        return "/" in self.teacher

    @property
    def uses_tokens(self) -> bool:
        """True if students learn from the teacher's most probable tokens."""
        return self.kind != "sequences"

    @property
    def uses_sequences(self) -> bool:
        """True if students learn from the teacher's translations."""
        return self.kind != "tokens"
