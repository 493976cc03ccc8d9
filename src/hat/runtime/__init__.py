"""The part of HAT that runs on the device: artefacts, engines, the Translator. It never imports PyTorch."""

from hat.engine_specs import ENGINES
from hat.runtime.artefact import Artefact, ArtefactConfig, is_artefact
from hat.runtime.decoding import DecodeOptions, Hypothesis
from hat.runtime.engines import (
    Engine,
    EngineSettings,
    check_engine,
    installed_engine,
    load_engine,
    load_onnx_export,
    runs,
)
from hat.runtime.locate import MODEL, is_onnx_export, model_folder
from hat.runtime.tokenizer import MosesOptions, Tokenizer, TokenizerConfig
from hat.runtime.training_lines import TrainingLines
from hat.runtime.translator.translation import Score, Translation
from hat.runtime.translator.translator import Translator
from hat.runtime.weights.code_books import CodeBooks
from hat.runtime.weights.precision import PRECISIONS, check_precision, usual_books
from hat.threads import available_threads

__all__ = [
    "ENGINES",
    "MODEL",
    "PRECISIONS",
    "Artefact",
    "ArtefactConfig",
    "CodeBooks",
    "DecodeOptions",
    "Engine",
    "EngineSettings",
    "Hypothesis",
    "MosesOptions",
    "Score",
    "Tokenizer",
    "TokenizerConfig",
    "TrainingLines",
    "Translation",
    "Translator",
    "available_threads",
    "check_engine",
    "check_precision",
    "installed_engine",
    "is_artefact",
    "is_onnx_export",
    "load_engine",
    "load_onnx_export",
    "model_folder",
    "runs",
    "usual_books",
]
