"""The settings of a training that are inputs of its step."""

import pytest

from hat.pipeline.models.training import training_inputs
from hat.training import TrainingSettings


def inputs(**changes: object) -> dict[str, object]:
    return training_inputs(TrainingSettings.model_validate({"updates": 9, **changes}))


@pytest.mark.parametrize("ignored", [{"matrix_learning_rate": 0.5}, {"decay": 0.1}, {"threads": 1}])
def test_settings_without_effect_are_no_inputs(ignored: dict[str, object]) -> None:
    assert inputs(**ignored) == inputs()
    assert not {"optimizer", *ignored} & inputs().keys(), "steps of earlier versions keep their keys"


def test_settings_with_effect_are_inputs() -> None:
    muon = inputs(optimizer="muon", schedule="stable-decay", matrix_learning_rate=0.5, decay=0.1)
    assert muon.items() >= {"optimizer": "muon", "matrix_learning_rate": 0.5, "decay": 0.1}.items()
