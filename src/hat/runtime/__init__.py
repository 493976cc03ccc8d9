"""What goes on the device: the artefact, the engines' interface and the Translator. No torch."""

from hat.runtime.artefact import Artefact, ArtefactConfig, is_artefact
from hat.runtime.code_books import CodeBooks
from hat.runtime.engine import (
    ENGINES,
    DecodeOptions,
    Engine,
    EngineSettings,
    Hypothesis,
    installed_engine,
    load_engine,
)
from hat.runtime.long_input import TrainingLines
from hat.runtime.precision import PRECISIONS
from hat.runtime.tokenizer import Tokenizer, TokenizerConfig
from hat.runtime.translation import Score, Translation
from hat.runtime.translator import Translator
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
