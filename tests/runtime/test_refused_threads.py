"""Threads that the system refuses: an error for the program that asked, which goes on. Libraries end it."""

import subprocess
import sys
from importlib.util import find_spec

import pytest

LIMITED = """
import re, resource, sys
from pathlib import Path
from hat.errors import HatError
from hat.runtime import Artefact, DecodeOptions, EngineSettings, load_engine
from tests.runtime.random_models import random_artefact

def translated(threads):
    engine = load_engine(sys.argv[1], artefact, EngineSettings(threads))
    return engine.translate([[5, 6, 2], [7, 2]], DecodeOptions(beam=2, max_length_offset=5))

artefact = random_artefact(1)
before = translated(1)
size = 1024 * int(re.search(r"VmSize:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
# Room for some stacks of the usual 8 MiB, not for hundreds.
resource.setrlimit(resource.RLIMIT_AS, (size + (200 << 20), resource.RLIM_INFINITY))
try:
    translated(300)
except HatError as error:
    print(error)
print(translated(1) == before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits the address space")
@pytest.mark.parametrize("engine", ["native", "onnxruntime", "torch"])
def test_an_error_instead_of_the_end_of_the_process(engine: str) -> None:
    module = {"native": "hat.runtime._native"}.get(engine, engine)
    if find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, engine], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said, same = done.stdout.splitlines()
    assert said.startswith("the system lets this process start ")
    assert " of 300 threads; use fewer" in said
    assert same == "True"
