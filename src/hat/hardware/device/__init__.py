"""Devices as this machine sees them: declarations, transports, links, and benches that time models."""
