"""The network of a configuration, as the registry of families names it."""

from hat.architecture import ModelConfig, family_of, load
from hat.model.beam import Decodes
from hat.model.layers import NO_DROPOUT, Dropout
from hat.model.translation_model import TranslationModel


def build(config: ModelConfig, dropout: Dropout = NO_DROPOUT) -> TranslationModel:
    """A network with initial weights."""
    network: TranslationModel = load(family_of(config.architecture).network)(config, dropout)
    return network


def static_decoder(model: TranslationModel) -> Decodes:
    """The decoder of a network's family that records steps as CUDA graphs; the network itself if there is
    none."""
    name = family_of(model.config.architecture).static_decoder
    decoder: Decodes = model if name is None else load(name)(model, capture=True)
    return decoder
