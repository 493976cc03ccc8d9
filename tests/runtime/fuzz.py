"""Loads damaged artefacts and translates with them: python -m tests.runtime.fuzz SEED [COUNT].

One line for each on standard output: its seed, and "refused: …", "translated" or "failed: …". A line
that stops after the seed tells of a crash or a hang; standard error then says where.
"""

import faulthandler
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
    """What loading the artefact and translating LINE came to."""
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


def main(first: int, count: int) -> None:
    """Try the mutants of `count` seeds."""
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
            print(outcome(folder), flush=True)


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)
