"""The networks in PyTorch: Transformer, the SuperTransformer that lends its weights, the Evolved
Transformer to compare with, and beam search."""

from hat.model.beam import beam_search
from hat.model.build import build
from hat.model.engine import TorchEngine
from hat.model.layers import Dropout
from hat.model.static_decode import StaticDecoder, Workspace
from hat.model.supertransformer import Lend, SuperTransformer, borrow
from hat.model.transformer import Transformer
from hat.model.translation_model import RoundedEmbedding, TranslationModel, sinusoids

__all__ = [
    "Dropout",
    "Lend",
    "RoundedEmbedding",
    "StaticDecoder",
    "SuperTransformer",
    "TorchEngine",
    "Transformer",
    "TranslationModel",
    "Workspace",
    "beam_search",
    "borrow",
    "build",
    "sinusoids",
]
