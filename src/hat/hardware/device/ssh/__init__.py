"""Devices over SSH (the [ssh] extra): the connection, the installation of HAT there, and its agent."""
