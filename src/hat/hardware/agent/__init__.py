"""The process on a device that times models there: `python -m hat.hardware.agent`."""

from hat.hardware.agent.environment import environment, installed_version

__all__ = ["environment", "installed_version"]
