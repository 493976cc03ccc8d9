"""The networks of a run: trained, taught and scored."""
