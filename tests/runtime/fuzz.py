"""Loads damaged artefacts and translates with them: python -m tests.runtime.fuzz SEED [COUNT [MODULE]].

One line for each on standard output: its seed, and "refused: …", "translated" or "failed: …". A line
that stops after the seed tells of a crash or a hang; standard error then says where. MODULE: a compiled
hat.runtime._native to take instead of the installed one (`make test-sanitize`). Exit code 1 where any failed.
"""

import faulthandler
import importlib.util
import resource
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

from hat.errors import HatError
from hat.runtime import Translator
from tests.runtime.mutants import Files, bases, mutant

LINE = "one dozen ﬁne liquor jugs ①"
MAX_LENGTH = 5
LONGEST_MESSAGE = 1000
# Beyond what the process has before the first mutant: a thousand times the size of an artefact.
MEMORY = 1 << 30
HANG = 60  # seconds; a mutant takes milliseconds


def outcome(folder: Path) -> str:
    """The outcome of loading the artefact and translating LINE."""
    try:
        with Translator.load(folder, engine="native", threads=1) as translator:
            [translation] = translator.translate([LINE], max_length=MAX_LENGTH)
    except HatError as error:
        message = str(error)
        if not message.isprintable() or len(message) > LONGEST_MESSAGE:
            return f"failed: not a message of one line: {message!r}"
        return f"refused: {message}"
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"failed: {error!r} in {Path(where.filename).name}:{where.lineno}"
    if len(translation.tokens) > MAX_LENGTH or not translation.text.isprintable():
        return f"failed: not a translation: {translation!r}"
    return "translated"


def write(files: Files, folder: Path) -> None:
    """Make `folder` hold these files only."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def main(first: int, count: int = 1) -> bool:
    """Try the mutants of `count` seeds. Whether all were refused or translated."""
    fine = True
    with tempfile.TemporaryDirectory() as temporary:
        good = bases(Path(temporary))
        folder = Path(temporary, "mutant")
        for files in good:
            write(files, folder)
            if (found := outcome(folder)) != "translated":
                raise SystemExit(f"an undamaged artefact: {found}")
        faulthandler.enable()
        _limit_memory()
        for seed in range(first, first + count):
            print(seed, end=" ", flush=True)
            faulthandler.dump_traceback_later(HANG, exit=True)
            write(mutant(seed, good), folder)
            print(found := outcome(folder), flush=True)
            fine = fine and not found.startswith("failed")
    return fine


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def take_module(path: str) -> None:
    """Make the compiled module at `path` the native engine of this process."""
    spec = importlib.util.spec_from_file_location("hat.runtime._native", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["hat.runtime._native"] = module


if __name__ == "__main__":
    if sys.argv[3:]:
        take_module(sys.argv[3])
    sys.exit(0 if main(*map(int, sys.argv[1:3])) else 1)
