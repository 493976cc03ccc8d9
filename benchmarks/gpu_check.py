"""Everything that a CUDA GPU shows of HAT, in minutes; `scripts/gpu_check.sh` installs HAT and calls this.

Parts are processes with time limits of their own. They print results as JSON objects, one a line, and each is
in OUTPUT at once, so that a script that is cut off leaves what was found until then. A part that fails or
runs out of time is recorded with the last lines of its messages, and the next one starts. Only Python's
standard library is needed here: a machine on which HAT cannot be installed still tells about itself.

    python benchmarks/gpu_check.py DATA_FOLDER [OUTPUT] [--seconds 480] [--only PART …] [--rehearsal]

DATA_FOLDER: a folder with the Multi30k files that the recipe multi30k names. --rehearsal: tiny sizes, on the
processor.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# Seconds that a part may take at most. The last one has all that is left.
LIMITS = {
    "machine": 60,
    "device check": 60,
    "tests": 100,
    "training": 90,
    "engines": 60,
    "latency loop": 60,
    "run": 480,
}
# A rehearsal may take longer: it runs on processors with other work.
PATIENCE = 10
# With less time than this, a part is not started.
LEAST_SECONDS = 5
# Between being asked to end and being killed.
GRACE_SECONDS = 3
LAST_LINES = 15
# What a failed part has left behind by way of explanation is rarely longer.
MOST_CHARACTERS = 3000


class Report:
    """The results so far, always in the file as well."""

    def __init__(self, path: Path, **about: Any) -> None:
        self.path = path
        self.content: dict[str, Any] = {**about, "parts": {}}
        self.save()

    def save(self) -> None:
        """Replace the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self.path)

    def part(self, name: str, **changes: Any) -> dict[str, Any]:
        """Change the record of a part, and save it."""
        record: dict[str, Any] = self.content["parts"].setdefault(name, {"state": "running", "rows": []})
        record.update(changes)
        self.save()
        return record


def commands(data: Path, rehearsal: bool) -> dict[str, list[str]]:
    """The command of each part, in the order of their value."""
    tiny = ["--rehearsal"] if rehearsal else []
    parts = [sys.executable, str(HERE / "gpu_parts.py"), *tiny]
    return {
        "machine": [sys.executable, str(HERE / "gpu_machine.py"), *tiny],
        "device check": [*parts, "device-check"],
        "tests": [sys.executable, str(HERE / "gpu_tests.py"), *tiny],
        "training": [*parts, "training"],
        "engines": [*parts, "engines"],
        "latency loop": [*parts, "latency-loop"],
        "run": [*parts, "run", "--data", str(data)],
    }


def update_seconds(report: Report) -> list[str]:
    """The option that tells the run how long an update of its SuperTransformer takes, if that is known."""
    rows = report.content["parts"].get("training", {"rows": []})["rows"]
    known = [row["ms_per_update"] / 1000 for row in rows if row.get("network") == "multi30k"]
    return ["--update-seconds", str(known[0])] if known else []


def work(report: Report, name: str, command: list[str], limit: float) -> None:
    """Run a part for at most `limit` seconds; its rows are saved as they come."""
    print(f"\n== {name} (at most {limit:.0f} s)", flush=True)
    began = time.monotonic()
    record = report.part(name, limit_seconds=round(limit))
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as messages:
        # Its own session: all that it has started ends with it.
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=messages, text=True, start_new_session=True
        )
        late = threading.Event()

        def interrupt() -> None:
            late.set()
            end(process)

        timer = threading.Timer(limit, interrupt)
        timer.start()
        try:
            assert process.stdout
            for line in process.stdout:
                row = row_of(line)
                if row is not None:
                    record["rows"].append(row)
                    report.part(name, seconds=round(time.monotonic() - began, 1))
                print(line.rstrip()[:1000], flush=True)
            code = process.wait()
        except KeyboardInterrupt:
            report.part(name, state="cut off", seconds=round(time.monotonic() - began, 1))
            raise
        finally:
            timer.cancel()
            end(process)
        messages.seek(0)
        said = messages.read()
    state = "out of time" if late.is_set() else "failed" if code else "done"
    ending = {"state": state, "seconds": round(time.monotonic() - began, 1)}
    if state != "done":
        ending["error"] = "\n".join(said.splitlines()[-LAST_LINES:])[-MOST_CHARACTERS:]
        print(ending["error"], flush=True)
    report.part(name, **ending)
    print(f"== {name}: {state} after {ending['seconds']} s", flush=True)


def work_on_all(report: Report, options: argparse.Namespace, until: float) -> None:
    """Run the parts that are asked for, one after another, until `time.monotonic()` is `until`."""
    for name, command in commands(options.data.resolve(), options.rehearsal).items():
        if name not in options.only:
            continue
        limit = LIMITS[name] * (PATIENCE if options.rehearsal else 1)
        # Ending a part takes seconds too.
        limit = min(limit, until - time.monotonic() - 2 * GRACE_SECONDS)
        if limit < LEAST_SECONDS:
            report.part(name, state="skipped", error="no time is left")
        else:
            more = update_seconds(report) if name == "run" else []
            work(report, name, [*command, *more], limit)


def row_of(line: str) -> dict[str, Any] | None:
    """The result in a line of a part's output; None for other text."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def end(process: subprocess.Popen[str]) -> None:
    """End a part's process and all that it has started."""
    for number, wait in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, GRACE_SECONDS)):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            return
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            continue


def commit() -> str:
    """The commit that is checked, "unknown" in a copy without its history."""
    known = os.environ.get("GPU_CHECK_COMMIT")
    if known:
        return known
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return asked.stdout.strip()


def main() -> None:
    today = date.today()
    line = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = HERE / "results" / f"gpu-{today}.json"
    line.add_argument("data", type=Path)
    line.add_argument("output", type=Path, nargs="?", default=default)
    line.add_argument("--seconds", type=float, default=480, help="for all parts together")
    line.add_argument("--only", nargs="+", choices=list(LIMITS), default=list(LIMITS), metavar="PART")
    line.add_argument("--rehearsal", action="store_true", help="tiny sizes, on the processor")
    line.add_argument("--note", help="about the installation, for the report")
    options = line.parse_args()
    until = time.monotonic() + options.seconds
    report = Report(
        options.output,
        date=str(today),
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        commit=commit(),
        python=sys.version.split()[0],
        seconds=round(options.seconds),
        rehearsal=options.rehearsal,
        installation=options.note,
    )
    # Ctrl-C and SIGTERM end the part under way as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        work_on_all(report, options, until)
    except KeyboardInterrupt:
        sys.exit(f"cut off; {options.output} has what was found until now")
    states = {name: part["state"] for name, part in report.content["parts"].items()}
    print(f"\n{options.output}: {json.dumps(states)}")


if __name__ == "__main__":
    main()
