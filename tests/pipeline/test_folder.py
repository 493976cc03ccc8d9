"""Run folders: whose they are, which version, and one process at a time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hat.errors import UserError
from hat.pipeline.steps.folder import check_usable, create_folder, locked, open_folder

HOLD = """
import sys
from pathlib import Path
from hat.pipeline.steps.folder import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_holds_the_folder_until_it_dies(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=f"process {other.pid} is working"), locked(tmp_path):
            pass
        other.kill()
    with locked(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot work in this folder"), locked(tmp_path / "file" / "run"):
        pass


def test_folder_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"format": 99, "hat": "9.0"}))
    for check in (open_folder, check_usable):
        with pytest.raises(UserError, match=r"hat 9\.0 in run format 99.*--run-dir"):
            check(tmp_path)


def test_only_new_or_empty_folders_become_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        open_folder(tmp_path)
    (tmp_path / ".lock").touch()
    check_usable(tmp_path)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="holds files"):
        check_usable(tmp_path)
    with pytest.raises(UserError, match="a file"):
        check_usable(tmp_path / "thesis.tex")


def test_created_folder_opens(tmp_path: Path) -> None:
    create_folder(tmp_path / "run")
    open_folder(tmp_path / "run")
