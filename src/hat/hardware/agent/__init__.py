"""The process on a device that times models there: `python -m hat.hardware.agent`."""
