"""Devices, declared in a file and reached through an agent on this machine or over SSH."""
