"""Devices over SSH (the [ssh] extra): address, connection, installation of HAT there, and its agent."""
