"""`hat device`: the devices to measure on, and how steady they are."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hat.cli.choices import devices as device_names
from hat.cli.commands.doctor import machine_rows
from hat.cli.groups import Group
from hat.cli.options import AsJson, DevicesFile, examples, json_text
from hat.cli.progress import Terminal
from hat.errors import visible

if TYPE_CHECKING:
    from hat.hardware import Calibration, Device


LIST_EXAMPLES = examples("hat device list", "hat device list --devices lab.yaml --json")
SHOW_EXAMPLES = examples("hat device show local", "hat device show pi --devices lab.yaml")
CHECK_EXAMPLES = examples("hat device check local", "hat device check pi --devices lab.yaml --json")

commands = typer.Typer(
    cls=Group, no_args_is_help=True, help="Devices to measure on: this machine, its GPUs, others over SSH."
)
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="One of `hat device list`.", autocompletion=device_names)
]
# Result of an installation → its name in the report.
WHEEL_STATES = {True: "installed now", False: "there already", None: None}


@commands.command("list", epilog=LIST_EXAMPLES)
def list_devices(devices: DevicesFile = None, as_json: AsJson = False) -> None:
    """List the known devices: this machine's processor and GPUs, and the devices in the file."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from hat.hardware import known_devices

    known = known_devices(devices)
    if as_json:
        typer.echo(json_text([device.to_dict() for device in known.values()]))
        return
    table = Table("device", "where", "engine", "precision", "threads", "cores")
    for device in known.values():
        row = (device.name, _where(device), device.engine, device.precision)
        table.add_row(*(Text(visible(cell)) for cell in (*row, str(device.threads), _cores(device))))
    Console(highlight=False).print(table)


@commands.command("show", epilog=SHOW_EXAMPLES)
def show(name: Name, devices: DevicesFile = None, as_json: AsJson = False) -> None:
    """Show the declaration of a device, without connecting to it."""
    from hat.hardware import device_named

    device = device_named(name, devices)
    typer.echo(json_text(device.to_dict()) if as_json else _lines(_declared(device)))


@commands.command("check", epilog=CHECK_EXAMPLES)
def check(name: Name, devices: DevicesFile = None, as_json: AsJson = False) -> None:
    """Connect to a device, install HAT's wheel there if one is declared, and time a small model.

    The noise is the interquartile range of the times as a share of their median. Exit code 0: the device is
    ready; 1: it cannot be reached, or is too noisy to measure; 2: its declaration is wrong.
    """
    from hat.hardware import calibrate, calibration_protocol, device_named, install, open_bench

    device = device_named(name, devices)
    terminal = Terminal()
    with terminal.working(f"check {name}") as progress:
        wheel = WHEEL_STATES[install(device, terminal.say)]
        with open_bench(device) as bench:
            environment = bench.environment()
            calibration = calibrate(bench, calibration_protocol(device), progress)
    if as_json:
        report = {"device": device.to_dict(), "wheel": wheel, "environment": environment}
        typer.echo(json_text({**report, "calibration": asdict(calibration)}))
    else:
        typer.echo(_lines(_report(device, wheel, environment, calibration)))
    if not calibration.measurable:
        raise typer.Exit(1)


def _where(device: "Device") -> str:
    return str(device.address or device.about or "this machine")


def _cores(device: "Device") -> str:
    return ",".join(map(str, device.cores)) or "any"


def _declared(device: "Device") -> list[tuple[str, Any]]:
    from hat.hardware import transport_of

    lines = [
        ("device", device.name),
        ("where", _where(device)),
        ("engine", f"{device.engine}, {device.precision}, {device.threads} thread(s)"),
        ("cores", _cores(device)),
    ]
    if device.accelerator != "cpu":
        lines.append(("GPU", str(device.gpu)))
    if device.address is not None:
        values = {
            "key": device.key or "those of the ssh-agent and ~/.ssh",
            "known_hosts": device.known_hosts or "~/.ssh/known_hosts",
            "python": device.python,
            "wheel": device.wheel or "none: HAT is installed there already",
        }
        transport, _ = transport_of(device.address, device.name)
        lines += [(key.replace("_", " "), str(values[key])) for key in transport.keys]
    return lines


def _report(
    device: "Device", wheel: str | None, environment: dict[str, Any], calibration: "Calibration"
) -> list[tuple[str, Any]]:
    from hat.hardware import calibration_protocol

    software, processor, memory = machine_rows(environment)
    load = environment["load_average"]
    states = {
        "load": None if load is None else f"{load:.1f}",
        "governor": environment["governor"],
        "turbo off": environment["turbo_off"],
        "°C": environment["temperature_c"],
        "MHz": environment["clock_mhz"],
    }
    interval = calibration_protocol(device).interval
    state = [f"{label} {value}" for label, value in states.items() if value is not None]
    return [
        *_declared(device)[:4],
        ("wheel", wheel),
        software,
        processor,
        *(("GPU", gpu) for gpu in environment["gpus"]),
        memory,
        ("state", ", ".join(state)),
        ("calibration", f"{calibration.median_ms:.2f} ms, median of {len(calibration.times_ms)}"),
        ("noise", f"{calibration.noise:.1%}: {calibration.verdict}"),
        ("rounds", f"about {calibration.rounds} for a latency within ± {interval:.0%}"),
    ]


def _lines(rows: list[tuple[str, Any]]) -> str:
    return "\n".join(visible(f"{label:<14} {text}") for label, text in rows if text is not None)
