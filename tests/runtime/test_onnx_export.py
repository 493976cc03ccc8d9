"""The exported folder: what is in it, that plain onnxruntime runs it, and that a damaged one is refused."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from hat.architecture import EvolvedArchitecture, ModelConfig
from hat.errors import UserError
from hat.export.deploy import deploy
from hat.runtime import Artefact, DecodeOptions, EngineSettings
from hat.runtime.onnx.engine import OnnxEngine, load_folder
from hat.runtime.onnx.file import OPERATORS
from hat.runtime.onnx.graph import decoder_model, encoder_model
from tests.runtime.random_models import random_artefact

ONE = EngineSettings()
SOURCES = [[7, 9, 30, 2], [12, 2], [5, 6, 8, 40, 41, 2]]
DOCUMENT = Path(__file__).parents[2] / "docs" / "onnx.md"


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_the_folder_translates_as_the_artefact_does(
    artefact: Artefact, tmp_path: Path, precision: str
) -> None:
    stored = artefact.at_precision(precision)
    deploy(stored, tmp_path / "model", "onnx")
    files = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    names = ("config.json", "decoder.onnx", "encoder.onnx", "tokenizer/joint.model")
    assert files == [f"model/{name}" for name in names]
    config, engine = load_folder(tmp_path / "model", ONE)
    assert config == replace(stored.config, precision="int8" if precision == "int8" else "float32")
    options = DecodeOptions(beam=3, nbest=3, max_length_offset=12)
    own = OnnxEngine(stored, ONE)
    assert engine.translate(SOURCES, options) == own.translate(SOURCES, options)
    assert engine.score(SOURCES, SOURCES) == own.score(SOURCES, SOURCES)


def test_exporting_twice_gives_the_same_bytes(artefact: Artefact, tmp_path: Path) -> None:
    for name in ("a", "b", "b"):
        deploy(artefact.at_precision("int8"), tmp_path / name, "onnx")
    for path in (tmp_path / "a").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_device_without_the_onnx_package_runs_exports_only(
    artefact: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(artefact, tmp_path / "model", "onnx")
    for name in ("hat.runtime.onnx.graph", "hat.runtime.onnx.builder"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    _, engine = load_folder(tmp_path / "model", ONE)
    assert len(engine.translate(SOURCES, DecodeOptions(max_length_offset=5))) == 3
    with pytest.raises(ModuleNotFoundError) as caught:
        OnnxEngine(artefact, ONE)
    assert caught.value.name == "onnx"


def test_the_documented_example_runs(
    artefact: Artefact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(artefact, tmp_path / "model-onnx", "onnx")
    monkeypatch.chdir(tmp_path)
    [code] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(DOCUMENT), "exec"), names)
    # Not </s> among the first words, and the same longest length: what the example leaves out.
    options = DecodeOptions(beam=1, min_length=1, max_length_offset=30)
    _, engine = load_folder(tmp_path / "model-onnx", ONE)
    for source, [hypothesis] in zip(SOURCES, engine.translate(SOURCES, options), strict=True):
        found = names["greedy"](source, longest=29)
        assert tuple(found[:29]) == hypothesis.tokens[:29]


def _edit_config(edit: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        path = folder / "config.json"
        value = json.loads(path.read_text())
        edit(value)
        path.write_text(json.dumps(value))

    return damage


def _swap(folder: Path) -> None:
    (folder / "encoder.onnx").rename(folder / "other")
    (folder / "decoder.onnx").rename(folder / "encoder.onnx")
    (folder / "other").rename(folder / "decoder.onnx")


def _cut(name: str, keep: float) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(keep * len(content))])

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut("encoder.onnx", 0), "encoder.onnx: "),
        (_cut("decoder.onnx", 0.5), "decoder.onnx: onnxruntime cannot load it"),
        (_cut("decoder.onnx", 0.999), "decoder.onnx: onnxruntime cannot load it"),
        (
            lambda folder: (folder / "decoder.onnx").write_bytes(b"PK" * 99),
            "decoder.onnx: onnxruntime cannot",
        ),
        (lambda folder: (folder / "decoder.onnx").unlink(), "decoder.onnx: onnxruntime cannot load it"),
        (_swap, "encoder.onnx: does not fit config.json: source is missing"),
        (_edit_config(lambda value: value.update(format=1)), "not the configuration of an ONNX export"),
        (_edit_config(lambda value: value.pop("decode")), "config.json: missing key decode"),
        (_edit_config(lambda value: value.update(colour=1)), "config.json: unknown key colour"),
        (
            _edit_config(lambda value: value["architecture"]["decoder"]["layers"][0].update(self_heads=4)),
            "decoder.onnx: does not fit config.json: self_keys.0 is",
        ),
        (lambda folder: (folder / "config.json").write_text("[]"), "not the configuration of an ONNX export"),
        (lambda folder: (folder / "config.json").unlink(), "config.json: No such file"),
    ],
)
def test_damaged_exports_are_refused_in_one_line(
    artefact: Artefact, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    deploy(artefact, tmp_path, "onnx")
    damage(tmp_path)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        load_folder(tmp_path, ONE)
    assert "\n" not in str(caught.value)


def test_a_failed_export_leaves_what_was_there(artefact: Artefact, tmp_path: Path) -> None:
    deploy(artefact, tmp_path / "model", "onnx")
    with pytest.raises(UserError, match="none is given"):
        deploy(replace(artefact, tokenizer_folder=None), tmp_path / "model", "onnx")
    assert load_folder(tmp_path / "model", ONE)[0] == artefact.config
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    (tmp_path / "thesis").write_text("years of work")
    for place in (tmp_path, tmp_path / "thesis"):
        with pytest.raises(UserError, match="exists and is not a model"):
            deploy(artefact, place, "onnx")
    assert (tmp_path / "thesis").read_text() == "years of work"


def _with_node(model: onnx.ModelProto, name: str, **attributes: Any) -> None:
    model.graph.node.append(onnx.helper.make_node(name, ["source"], ["more"], **attributes))


def _with_external_data(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="config.json")


def _with_function(model: onnx.ModelProto) -> None:
    function = onnx.helper.make_function("own", "Add", ["a"], ["b"], [], [onnx.helper.make_opsetid("", 17)])
    model.functions.append(function)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda model: _with_node(model, "ConstantOfShape"),
            "has the operator ConstantOfShape, which no",
        ),
        (lambda model: _with_node(model, "Tile"), "has the operator Tile"),
        (lambda model: _with_node(model, "Loop", body=onnx.GraphProto()), "has the operator Loop"),
        (_with_external_data, "keeps a tensor in another file, which no export"),
        (_with_function, "has functions, which no export"),
    ],
)
def test_a_graph_that_could_take_any_memory_is_not_loaded(
    artefact: Artefact, tmp_path: Path, change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    deploy(artefact, tmp_path / "model", "onnx")
    path = tmp_path / "model" / "encoder.onnx"
    model = onnx.load(path, load_external_data=False)
    change(model)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match=rf"encoder\.onnx: {message}"):
        load_folder(tmp_path / "model", ONE)


def test_the_operators_that_are_loaded_are_those_that_are_written() -> None:
    models = [random_artefact(seed).config.model for seed in (1, 2)]  # both norms, both ways to the best
    models.append(ModelConfig(EvolvedArchitecture(16, 4, 1, 1), 50, 50))
    written = {
        node.op_type
        for model in models
        for precision in ("float32", "int8")
        for graph in (encoder_model, decoder_model)
        for node in graph(Artefact.random(model, 1, precision)).graph.node
    }
    assert written == OPERATORS
