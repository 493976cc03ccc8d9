"""Measurements of architectures on a device, and the file that keeps them."""
