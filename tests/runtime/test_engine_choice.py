"""The choice of an engine, and the messages about engines that cannot run."""

import logging
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hat.cli import main
from hat.engine_specs import EngineSpec
from hat.errors import UserError
from hat.hardware import Device
from hat.runtime import (
    ENGINES,
    Artefact,
    ArtefactConfig,
    EngineSettings,
    Translator,
    load_engine,
    load_onnx_export,
)
from tests.runtime.echo import Echo
from tests.runtime.tiny_tokenizer import LINES


class Fake(Echo):
    """An engine that says which one it stands for."""

    def __init__(self, name: str, *_: object) -> None:
        super().__init__()
        self.name = name


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make exactly the named engines available."""

    def only(*names: str) -> None:
        for name, spec in ENGINES.items():
            fake = ModuleType(spec.module)
            if name in names:
                setattr(fake, spec.factory, lambda *arguments, name=name: Fake(name, *arguments))
            monkeypatch.setitem(sys.modules, spec.module, fake if name in names else None)

    return only


def test_an_engine_is_a_class_and_one_entry(
    artefact: Artefact, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = ModuleType("parrots")
    module.Parrot = lambda artefact, settings: Fake("parrot")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "parrots", module)
    spec = EngineSpec(name="parrot", module="parrots", factory="Parrot", install="catch one")
    monkeypatch.setitem(ENGINES, "parrot", spec)
    assert load_engine("parrot", artefact, EngineSettings()).name == "parrot"
    assert Device("cage", engine="parrot").engine == "parrot"
    with pytest.raises(SystemExit):
        main(["doctor"])
    assert "engine parrot        works" in capsys.readouterr().out
    with pytest.raises(UserError, match="device: 'cuda' is for the torch engine only, not parrot"):
        load_engine("parrot", artefact, EngineSettings(device="cuda"))
    monkeypatch.setitem(ENGINES, "parrot", replace(spec, families=("evolved",)))
    with pytest.raises(UserError, match="engine parrot does not run a Transformer; the choices are native"):
        load_engine("parrot", artefact, EngineSettings())


def test_auto_takes_the_first_that_is_there(
    artefact: Artefact, install: Any, caplog: pytest.LogCaptureFixture
) -> None:
    install("native", "torch")
    assert load_engine("auto", artefact, EngineSettings()).name == "native"
    assert load_engine("torch", artefact, EngineSettings()).name == "torch"
    assert caplog.records == []


@pytest.mark.parametrize("there", [("onnxruntime", "torch"), ("torch",)])
def test_falling_back_from_native_is_loud(
    artefact: Artefact, install: Any, caplog: pytest.LogCaptureFixture, there: tuple[str, ...]
) -> None:
    install(*there)
    assert load_engine("auto", artefact, EngineSettings()).name == there[0]
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert f"decoding with {there[0]}, which is slower: the native engine is not installed" in record.message
    assert "\n" not in record.message


def test_a_library_that_does_not_load_is_as_good_as_none(
    artefact: Artefact, install: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ImportError("libstdc++.so.6: version `GLIBCXX_3.4.32' not found (required by …)")

    install("native", "torch")
    sys.modules["hat.runtime.engines.native"].NativeEngine = broken  # type: ignore[attr-defined]
    assert load_engine("auto", artefact, EngineSettings()).name == "torch"
    assert "not installed (libstdc++.so.6: version `GLIBCXX_3.4.32' not found): " in caplog.text


def test_nothing_there(artefact: Artefact, install: Any) -> None:
    install()
    with pytest.raises(UserError, match=r"the native engine .*\[onnx\].*\[train\]"):
        load_engine("auto", artefact, EngineSettings())
    with pytest.raises(UserError, match=r"the onnxruntime engine is not installed .*\[onnx\]") as caught:
        load_engine("onnxruntime", artefact, EngineSettings())
    assert "torch" not in str(caught.value)


def test_settings_choose_the_engine_that_has_them(
    artefact: Artefact, install: Any, caplog: pytest.LogCaptureFixture
) -> None:
    install("native", "onnxruntime", "torch")
    assert load_engine("auto", artefact, EngineSettings(device="cuda")).name == "torch"
    assert load_engine("auto", artefact, EngineSettings(instruction_set="generic")).name == "native"
    assert caplog.records == []


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("abacus", {}, "no engine is called 'abacus'; the engines are auto, native, onnxruntime, torch"),
        ("native", {"device": "cuda"}, "device: 'cuda' is for the torch engine only, not native"),
        ("torch", {"instruction_set": "avx2"}, "instruction_set: 'avx2' is for the native engine only"),
        ("auto", {"device": "cuda", "instruction_set": "avx2"}, "native engine only, not torch"),
        ("auto", {"threads": 0}, "threads: 0 is less than 1"),
        ("auto", {"device": "abacus"}, "device: 'abacus'; the choices are cpu, cuda"),
    ],
)
def test_mistakes(
    artefact: Artefact, install: Any, name: str, settings: dict[str, Any], message: str
) -> None:
    install("native", "onnxruntime", "torch")
    with pytest.raises(UserError, match=message):
        load_engine(name, artefact, EngineSettings(**settings))


@pytest.fixture
def onnx_export(artefact: Artefact, install: Any, tmp_path: Path) -> Path:
    """A folder that looks like an ONNX export, and what reads it."""
    artefact.save(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    for name in ("encoder.onnx", "decoder.onnx"):
        (tmp_path / name).touch()

    def load_folder(folder: Path, settings: EngineSettings) -> tuple[ArtefactConfig, Fake]:
        assert folder == tmp_path
        return artefact.config, Fake("onnxruntime")

    install("onnxruntime", "torch")
    sys.modules["hat.runtime.onnx.engine"].load_folder = load_folder  # type: ignore[attr-defined]
    return tmp_path


@pytest.mark.parametrize("engine", ["auto", "onnxruntime"])
def test_an_onnx_export_translates(onnx_export: Path, engine: str, caplog: pytest.LogCaptureFixture) -> None:
    with Translator.load(onnx_export, engine=engine) as speaking:
        assert speaking.engine.name == "onnxruntime"
        assert str(speaking.translate([LINES[0]])[0]) == LINES[0]
    assert caplog.records == []


def test_an_onnx_export_runs_nowhere_else(onnx_export: Path, install: Any) -> None:
    with pytest.raises(UserError, match="runs with engine onnxruntime, not torch"):
        Translator.load(onnx_export, engine="torch")
    with pytest.raises(UserError, match="device: 'cuda' is for the torch engine only, not onnxruntime"):
        load_onnx_export("auto", onnx_export, EngineSettings(device="cuda"))
    with pytest.raises(UserError, match="a single model"):
        Translator.load(onnx_export, model="fast")
    install("native", "torch")
    with pytest.raises(UserError, match=r"the onnxruntime engine is not installed .*\[onnx\]"):
        Translator.load(onnx_export)
