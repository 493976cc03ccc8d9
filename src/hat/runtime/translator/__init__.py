"""From text to translation: lines, sentences, batches, unknown words."""
