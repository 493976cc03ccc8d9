"""The network of a configuration, whichever family it is of."""

from hat.architecture import EvolvedArchitecture, ModelConfig
from hat.model.evolved import EvolvedTransformer
from hat.model.layers import NO_DROPOUT, Dropout
from hat.model.transformer import Transformer
from hat.model.translation_model import TranslationModel


def build(config: ModelConfig, dropout: Dropout = NO_DROPOUT) -> TranslationModel:
    """A network with initial weights."""
    evolved = isinstance(config.architecture, EvolvedArchitecture)
    return EvolvedTransformer(config, dropout) if evolved else Transformer(config, dropout)
