"""A device: the place where translations will run, and the settings they run with there."""

from dataclasses import KW_ONLY, asdict, dataclass
from pathlib import Path
from typing import Any

from hat.arguments import check_choice, check_count
from hat.engine_specs import DEVICES as ACCELERATORS
from hat.engine_specs import ENGINES, FIRST_ENGINE, engines_on
from hat.errors import UserError, shown
from hat.runtime import check_precision


@dataclass(frozen=True)
class Device:
    """One device and how translations run on it. Raises UserError.

    - `address`: `scheme://…`, see `hat.hardware.device.transports`; None is this machine.
    - `key`: private key file; None stands for the keys of the ssh-agent and of ~/.ssh.
    - `known_hosts`: file with the device's host key; None stands for ~/.ssh/known_hosts.
    - `python`: the device's Python interpreter, a name or a path there. With `wheel` it makes a virtual
      environment for that wheel of HAT; without, HAT is installed for it already.
    - `threads`: processor threads of one translation.
    - `cores`: numbers of the cores that the threads are kept to; () leaves the choice to the system.
    - `accelerator`: "cpu" or "cuda"; `gpu` is the number of the GPU for "cuda".
    - `about`: the system's name for the processor or GPU.
    """

    name: str
    address: str | None = None
    _: KW_ONLY
    key: Path | None = None
    known_hosts: Path | None = None
    python: str = "python3"
    wheel: Path | None = None
    engine: str = FIRST_ENGINE
    precision: str = "int8"
    threads: int = 1
    cores: tuple[int, ...] = ()
    accelerator: str = "cpu"
    gpu: int = 0
    about: str = ""

    def __post_init__(self) -> None:
        check_choice("engine", self.engine, ENGINES)
        check_precision(self.precision, "precision")
        check_choice("accelerator", self.accelerator, ACCELERATORS)
        if self.engine not in (able := engines_on(self.accelerator)):
            raise UserError(
                f"engine: {self.engine} does not run on a GPU; with accelerator {self.accelerator} it is "
                f"{' or '.join(able)}"
            )
        check_count("threads", self.threads)
        if not _is_index(self.gpu):
            raise UserError(f"gpu: {shown(self.gpu)} is not the number of a GPU; the first is 0")
        if not all(map(_is_index, self.cores)) or len(set(self.cores)) < len(self.cores):
            raise UserError(f"cores: {shown(list(self.cores))} is not a list of different core numbers")
        if self.cores and len(self.cores) < self.threads:
            raise UserError(f"cores: {len(self.cores)} for {self.threads} threads")

    @property
    def label(self) -> str:
        """The device in messages."""
        return f"device {self.name}"

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        values = asdict(self) | {"cores": list(self.cores)}
        return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
