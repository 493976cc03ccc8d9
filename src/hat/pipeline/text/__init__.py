"""A run's text and its tokenizers."""
