"""Costs on the run's device, measured, and the limits on them."""
