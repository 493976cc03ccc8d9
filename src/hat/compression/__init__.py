"""Smaller models: fine-tuning of code books, and the size of a model.

k-means itself and the packed forms are the runtime's (`hat.runtime.weights`):
`hat export` works where there is no PyTorch. Fine-tuning (`hat.compression.fine_tuning`) needs it.
"""

from hat.compression.size import Sizes, published_bytes, sizes_of

__all__ = ["Sizes", "published_bytes", "sizes_of"]
