"""What goes on the device: the artefact, the engines' interface and the Translator. No torch."""

from hat.runtime.artefact import Artefact, ArtefactConfig, is_artefact
from hat.runtime.engine import (
    ENGINES,
    DecodeOptions,
    Engine,
    EngineSettings,
    Hypothesis,
    installed_engine,
    load_engine,
)
from hat.runtime.tokenizer.tokenizer import Tokenizer, TokenizerConfig
from hat.runtime.translator.long_input import TrainingLines
from hat.runtime.translator.translation import Score, Translation
from hat.runtime.translator.translator import Translator
from hat.runtime.weights.code_books import CodeBooks
from hat.runtime.weights.precision import PRECISIONS
from hat.threads import available_threads

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "Artefact",
    "ArtefactConfig",
    "CodeBooks",
    "DecodeOptions",
    "Engine",
    "EngineSettings",
    "Hypothesis",
    "Score",
    "Tokenizer",
    "TokenizerConfig",
    "TrainingLines",
    "Translation",
    "Translator",
    "available_threads",
    "installed_engine",
    "is_artefact",
    "load_engine",
]
