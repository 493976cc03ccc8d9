"""Devices over SSH (the [ssh] extra): addresses, the connection, the installation of HAT there, and its
agent."""
