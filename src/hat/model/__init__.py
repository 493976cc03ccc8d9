"""The networks in PyTorch: Transformer, the SuperTransformer that lends its weights, the Evolved
Transformer to compare with, and beam search."""

from hat.model.beam import beam_search
from hat.model.build import build
from hat.model.layers import Dropout
from hat.model.supertransformer import SuperTransformer
from hat.model.transformer import Transformer
from hat.model.translation_model import TranslationModel

__all__ = ["Dropout", "SuperTransformer", "Transformer", "TranslationModel", "beam_search", "build"]
