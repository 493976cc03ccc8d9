"""`hat doctor`."""

import json
import sys

import pytest

from hat.runtime import ENGINES
from tests.cli.conftest import Hat

VARIABLE = "HAT_NATIVE_ISA"


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The instruction sets that can run here, best first; none is forced."""
    native = pytest.importorskip("hat.runtime._native", reason="the native engine is not compiled")
    monkeypatch.delenv(VARIABLE, raising=False)
    return [one["name"] for one in native.instruction_sets() if one["built"] and one["supported"]]


def block(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Make imports of these modules fail, and of what imports them."""
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
        parent, _, name = module.rpartition(".")
        if parent in sys.modules:  # `from parent import name` finds what was imported before
            monkeypatch.delattr(sys.modules[parent], name, raising=False)
    for spec in ENGINES.values():
        monkeypatch.delitem(sys.modules, spec.module, raising=False)


def line(text: str, label: str) -> str:
    """The text after a label."""
    [found] = [one for one in text.splitlines() if one.startswith(f"{label} ")]
    return found[len(label) :].strip()


def test_the_best_set_is_chosen(hat: Hat, names: list[str]) -> None:
    result = hat("doctor")
    assert result.code == 0
    assert line(result.out, "native kernels").startswith(f"{names[0]}, detected")
    assert f"{names[0]} (yes)" in line(result.out, "instruction sets")
    assert line(result.out, "engine auto") == "takes native"


def test_a_set_can_be_forced(hat: Hat, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, names[-1])
    chosen = json.loads(hat("doctor", "--json").out)["instruction_set"]
    assert chosen["chosen"] == chosen["forced"] == names[-1]
    assert chosen["why"] == f"forced by {VARIABLE}={names[-1]}"


def test_a_set_that_does_not_exist(hat: Hat, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "quantum")
    result = hat("doctor")
    assert line(result.out, "native kernels").startswith("none, forced by HAT_NATIVE_ISA=quantum")
    assert ", ".join(names) in line(result.out, "native kernels")
    assert line(result.out, "engine native").startswith("does not work")
    assert line(result.out, "engine auto").startswith("stops at native")


def test_without_the_compiled_module(hat: Hat, monkeypatch: pytest.MonkeyPatch) -> None:
    block(monkeypatch, "hat.runtime._native")
    result = hat("doctor")
    assert result.code == 0
    assert "native kernels" not in result.out
    native = line(result.out, "engine native")
    assert native.startswith("does not work: ")
    assert "_native" in native
    assert "C++ compiler" in native
    assert line(result.out, "engine auto") == "takes onnxruntime"


def test_without_any_engine(hat: Hat, monkeypatch: pytest.MonkeyPatch) -> None:
    for spec in ENGINES.values():
        monkeypatch.setitem(sys.modules, spec.module, None)
    result = hat("doctor", "--json")
    assert result.code == 1
    engines = json.loads(result.out)["engines"]
    assert [name for name, engine in engines.items() if not engine["works"]] == list(ENGINES)
    assert "hardware-aware-transformers[onnx]" in engines["onnxruntime"]["reason"]
    assert hat("doctor").out.count("does not work") == len(ENGINES)


OLD_AND_NEW = (("old", "3.2"), ("new", "9.9"))


def test_packages_of_an_older_python_are_not_missed(hat: Hat, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = [f"{name}; python_version < '{version}' and extra == 'train'" for name, version in OLD_AND_NEW]
    monkeypatch.setattr("hat.cli.commands.doctor.requires", lambda name: needed, raising=False)
    monkeypatch.setattr("importlib.metadata.requires", lambda name: needed)
    training = json.loads(hat("doctor", "--json").out)["training"]
    assert training["packages"] == {"new": None}


def test_training_packages(hat: Hat, monkeypatch: pytest.MonkeyPatch) -> None:
    training = json.loads(hat("doctor", "--json").out)["training"]
    assert training["installed"] is True
    assert set(training["packages"]) >= {"torch", "sacrebleu"}
    monkeypatch.setattr("hat.hardware.installed_version", {"torch": "2"}.get)
    missing = line(hat("doctor").out, "training")
    assert missing.startswith("missing ")
    assert "sacrebleu" in missing.partition(";")[0]
    assert "torch" not in missing.partition(";")[0]
