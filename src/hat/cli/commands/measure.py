"""`hat measure`, `hat fit` and `hat predict`: latencies on a device, and their predictor."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from hat.cli.choices import ENGINES, PRECISIONS, runs
from hat.cli.commands.runs import stoppable, work
from hat.cli.extra import optional_packages
from hat.cli.options import (
    AsJson,
    Beam,
    DevicesFile,
    Overrides,
    RunDir,
    Target,
    choice_option,
    device_option,
    examples,
    file_option,
    json_text,
    positive_number,
)
from hat.cli.progress import Terminal
from hat.errors import UserError, shown, visible_lines
from hat.errors import command as command_line

MEASURE_EXAMPLES = examples(
    "hat measure runs/demo",
    "hat measure runs/demo --device pi --device nano --samples 60",
    "hat measure runs/demo --lengths 10:12,30:30 --precision float32",
    "hat measure runs/demo --import wmt14ende_cpu_raspberrypi_all.csv",
    "hat measure runs/demo --export latencies.csv",
)
FIT_EXAMPLES = examples("hat fit runs/demo", "hat fit runs/demo --device pi --json")
PREDICT_EXAMPLES = examples(
    "hat predict arch.yaml", "hat predict arch.yaml --device pi --run runs/demo --lengths 20:22 --json"
)
DeviceNames = Annotated[list[str] | None, device_option("One of `hat device list`; may be repeated.")]

Samples = Annotated[
    str | None,
    typer.Option(
        metavar="auto|N", help="Number of SubTransformers; auto: until the predictor is good enough."
    ),
]
ImportFile = Annotated[
    Path | None,
    file_option("Published latencies instead of measuring, or an export.", "--import", metavar="FILE.csv"),
]
ExportFile = Annotated[
    Path | None,
    file_option(
        "Write the run's measurements; an earlier export is replaced.", "--export", metavar="FILE.csv"
    ),
]


def measure(
    target: Target,
    device: DeviceNames = None,
    devices: DevicesFile = None,
    samples: Samples = None,
    lengths: Annotated[
        str | None, typer.Option(metavar="from-data|N|S:T,…", help="Source and target lengths to decode.")
    ] = None,
    engine: Annotated[str | None, choice_option("Engine on the device.", (*ENGINES, "auto"))] = None,
    precision: Annotated[str | None, choice_option("Precision of the weights there.", PRECISIONS)] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of one translation.")] = None,
    beam: Beam = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Sentences decoded together.")] = None,
    import_file: ImportFile = None,
    export_file: ExportFile = None,
    overrides: Overrides = None,
    run_dir: RunDir = None,
) -> None:
    """Measure SubTransformers on a device, or on several at once. Continues where it was stopped.

    With one device, the options are kept in the run's recipe; with several, they are not.
    """
    settings = {
        "device.file": _as_yaml(devices and devices.absolute()),
        "device.engine": _as_yaml(engine),
        "device.precision": _as_yaml(precision),
        "device.threads": threads,
        "device.beam": beam,
        "device.batch": batch,
        "measure.samples": samples,
        "measure.lengths": None if lengths is None else json.dumps(_lengths(lengths)),
    }
    chosen = [*(overrides or ()), *(f"{key}={value}" for key, value in settings.items() if value is not None)]
    if export_file is not None:
        with optional_packages("measure"):
            from hat.pipeline import export_measurements
        count = export_measurements(Path(target), export_file)
        Terminal().say(f"{count} measurements written to {export_file}")
    elif import_file is not None:
        _import(import_file, target, run_dir=run_dir, overrides=chosen)
    elif device and len(device) > 1:
        _on_several("measure", target, run_dir=run_dir, overrides=chosen, names=device)
    else:
        chosen += [setting for name in device or () for setting in _device_settings(name, None)]
        run = work("measure", target, run_dir=run_dir, overrides=chosen)
        typer.echo(visible_lines(run.measure_summary()))


def _import(file: Path, target: str, *, run_dir: Path | None, overrides: list[str]) -> None:
    """Add an export's measurements to a run, or measure with published latencies."""
    with optional_packages("measure"):
        from hat.pipeline import import_measurements
    if imported := import_measurements(Path(target), file):
        Terminal().say(f"{file}: {imported}")
        return
    names = [f"device.name={_as_yaml(file.stem)}", f"device.latencies={_as_yaml(file.absolute())}"]
    work("measure", target, run_dir=run_dir, overrides=[*overrides, *names])


def fit(
    target: Target,
    device: DeviceNames = None,
    devices: DevicesFile = None,
    as_json: AsJson = False,
    overrides: Overrides = None,
) -> None:
    """Fit the predictors of latency and other limited costs to the measurements, and show their errors."""
    with optional_packages("fit"):
        from hat import Run
    names = device or [""]
    for name in names:
        chosen = _device_settings(name, devices) + list(overrides or ())
        if len(names) > 1:
            _on_several("fit", target, run_dir=None, overrides=chosen, names=[name])
        else:
            work("fit", target, overrides=chosen)
        summary = Run(target, settings=chosen).fit_summary()
        typer.echo(json_text(summary) if as_json else visible_lines(_fit_text(summary)))


def predict(
    architecture: Annotated[Path, typer.Argument(metavar="ARCH.yaml", help="Architecture file.")],
    device: Annotated[str | None, device_option("The device; by default the device of the run.")] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="A run with a fitted predictor; by default the newest in runs/.",
            autocompletion=runs,
        ),
    ] = None,
    lengths: Annotated[
        str | None, typer.Option(metavar="N|S:T,…", help="Lengths; those measured by default.")
    ] = None,
    coverage: Annotated[float, typer.Option(help="Probability of the interval.")] = 0.9,
    as_json: AsJson = False,
) -> None:
    """Predict the latency of an architecture on a device, with an interval."""
    from hat.architecture import Architecture
    from hat.pipeline import find_fitted, predict_latency

    pairs = None if lengths is None else _lengths(lengths)
    if isinstance(pairs, str):
        raise UserError("--lengths from-data: give numbers, or leave it out for the lengths measured")
    loaded = Architecture.load(architecture)
    prediction = predict_latency(find_fitted(run, device), loaded, pairs, coverage)
    typer.echo(json_text(prediction) if as_json else visible_lines(_prediction_text(prediction)))


def _on_several(
    command: str, target: str, *, run_dir: Path | None, overrides: list[str], names: list[str]
) -> None:
    with optional_packages(command):
        from hat import Run
        from hat.pipeline import run_on_devices

    runs = {
        name: Run(target, run_dir, settings=[*overrides, *_device_settings(name, None)]) for name in names
    }
    root = runs[names[0]].folder
    terminal = Terminal()
    with stoppable(terminal):
        run_on_devices({name: run.recipe for name, run in runs.items()}, root, (command,), terminal)
    for run in runs.values() if command == "measure" else ():
        typer.echo(visible_lines(run.measure_summary()))
    terminal.say(
        f"`{command_line('hat', 'run', root, '--set', f'device.name={names[0]}')}` continues with that device"
    )


def _device_settings(name: str, file: Path | None) -> list[str]:
    # The run may have published latencies instead of a device; those are another device's.
    chosen = [f"device.name={_as_yaml(name)}", "device.latencies=null"] if name else []
    return chosen + ([f"device.file={_as_yaml(file.absolute())}"] if file else [])


def _as_yaml(value: object) -> str | None:
    """A value as YAML text that is read back unchanged, whatever characters it has; None for None."""
    return None if value is None else json.dumps(str(value), ensure_ascii=False)


def _lengths(text: str) -> str | list[tuple[int, int]]:
    """`from-data`, or the pairs of lengths in `30` or `10:12,30:30`. Raises UserError."""
    if text == "from-data":
        return text
    pairs = []
    for part in text.split(","):
        numbers = [positive_number(number) for number in part.split(":")]
        source, target = numbers[0], numbers[-1]
        if len(numbers) > 2 or source is None or target is None:
            raise UserError(
                f"--lengths {shown(text)}: write from-data, one length as 30, or source:target pairs as "
                "10:12,30:30"
            )
        pairs.append((source, target))
    return pairs


def _fit_text(fitted: dict[str, Any]) -> str:
    floor = "unknown" if fitted["noise_floor"] is None else f"{fitted['noise_floor']:.2f} %"
    low, high = fitted["mape_low"], fitted["mape_high"]
    return "\n".join(
        [
            f"{fitted['samples']} architectures judged on {fitted['device']}, each predicted without itself",
            f"held-out error    {fitted['mape']:.2f} % (95 %: {low:.2f}–{high:.2f})",
            f"linear regression {fitted['linear_mape']:.2f} % (on the paper's ten features)",
            f"noise floor       {floor} (of the measurements themselves)",
            f"twice as many measurements would bring it to about {fitted['doubled_mape']:.2f} %: "
            + ("worth it" if fitted["more_would_help"] else "not worth it"),
            f"predicted against measured: {fitted['predictions']}",
            *(
                f"{name}: held-out error {cost['mape']:.2f} %, linear regression {cost['linear_mape']:.2f} %"
                for name, cost in fitted["other_costs"].items()
            ),
        ]
    )


def _prediction_text(prediction: dict[str, Any]) -> str:
    low, high = prediction["interval_ms"]
    share = f"{100 * prediction['coverage']:g} %"
    bounds = "no interval: too few measurements" if high is None else f"{share}: {low:.2f}–{high:.2f}"
    pairs = ", ".join(f"{source}:{target}" for source, target in prediction["pairs"])
    return (
        f"{prediction['latency_ms']:.2f} ms a sentence ({bounds})\n"
        f"on {prediction['device']}, source:target lengths {pairs}; predictor of {prediction['run']}, "
        f"held-out error {prediction['mape']:.2f} %"
    )
