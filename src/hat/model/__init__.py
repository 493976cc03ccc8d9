"""The network in PyTorch: Transformer, the SuperTransformer that lends its weights, beam search."""

from hat.model.beam import beam_search
from hat.model.supertransformer import SuperTransformer
from hat.model.transformer import Dropout, Transformer

__all__ = ["Dropout", "SuperTransformer", "Transformer", "beam_search"]
