"""Writing that survives kills, power failures and file systems without locks; full disks are known."""

import errno
import fcntl
import os
import sqlite3
from pathlib import Path

import pytest
from safetensors import SafetensorError

from hat import disk
from hat.architecture import Architecture, Decoder, DecoderLayer, Encoder, EncoderLayer, ModelConfig
from hat.data.acquire import Places, RemoteFile, fetch
from hat.disk import Room, exchange, is_full, replace_folder
from hat.errors import DiskFull, HatError, UserError
from hat.export.deploy import FORMATS, deploy
from hat.files import atomic_folder, atomic_path, read_json, write_json, write_text
from hat.hardware import MeasurementStore
from hat.pipeline.steps.folder import locked
from hat.runtime import MODEL, Artefact, model_folder

ARCHITECTURE = Architecture(64, Encoder(64, (EncoderLayer(64, 2),)), Decoder(64, (DecoderLayer(64, 2, 2),)))


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    return Artefact.random(ModelConfig(ARCHITECTURE, 500, 500), seed=0)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def flushed(descriptor: int) -> None:
        done.append(f"flush {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        fsync(descriptor)

    def replaced(one: Path, other: Path) -> None:
        done.append(f"name {Path(other).name}")
        replace(one, other)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", replaced)
    write_text(tmp_path / "new" / "a.txt", "text")
    assert done == [f"flush {tmp_path.name}", "flush .a.txt.hat-unfinished", "name a.txt", "flush new"]


def test_a_folder_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def swapped(one: Path, other: Path) -> bool:
        done.append("exchange")
        return exchange(one, other)

    monkeypatch.setattr(disk, "flush_file", lambda path: done.append(path.name))
    monkeypatch.setattr(disk, "flush_folder", lambda path: done.append(f"{path.name}/"))
    monkeypatch.setattr(disk, "exchange", swapped)
    artefact.save(tmp_path / "model")
    done.clear()
    artefact.save(tmp_path / "model")
    whole = ["config.json", "model.safetensors", ".model.hat-unfinished/"]
    assert done[-5:] == [*whole, "exchange", f"{tmp_path.name}/"]


def test_names_are_exchanged_in_one_step_or_not_at_all(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    swapped = exchange(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / "file").read_text() == ("b" if swapped else "a")
    assert not exchange(tmp_path / "a", tmp_path / "nowhere")


@pytest.mark.parametrize("fatal", [1, 2, 3])
def test_without_exchange_a_kill_between_two_renames_loses_nothing(
    tmp_path: Path, artefact: Artefact, monkeypatch: pytest.MonkeyPatch, fatal: int
) -> None:
    folder, int8 = tmp_path / "model", artefact.at_precision("int8")
    artefact.save(folder)
    monkeypatch.setattr(disk, "exchange", lambda one, other: False)
    rename, renames = os.rename, iter(range(1, 100))

    def killed(one: Path, other: Path) -> None:
        if next(renames) == fatal:
            raise KeyboardInterrupt
        rename(one, other)

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            int8.save(folder)
    assert folder.exists() == (fatal != 2)
    assert model_folder(folder, None) == folder
    assert Artefact.load(folder).config.precision == ("float32" if fatal < 3 else "int8")
    int8.save(folder)
    assert Artefact.load(folder).config.precision == "int8"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_was_there_lies_where_the_new_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for can in (True, False):
        if not can:
            monkeypatch.setattr(disk, "exchange", lambda one, other: False)
        for name in ("old", "new"):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "file").write_text(name)
        replace_folder(tmp_path / "new", tmp_path / "old")
        assert {name: (tmp_path / name / "file").read_text() for name in ("old", "new")} == {
            "old": "new",
            "new": "old",
        }


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("foreign", ["notes.txt", ".git/HEAD", "tokenizer/own.txt", "empty/"])
def test_a_model_beside_which_something_else_lies_is_not_replaced(
    tmp_path: Path, artefact: Artefact, form: str, foreign: str
) -> None:
    folder = tmp_path / "model"
    artefact.save(folder)
    (folder / foreign).parent.mkdir(exist_ok=True)
    if foreign.endswith("/"):
        (folder / foreign).mkdir()
    else:
        (folder / foreign).write_text("years of work")
    before = names(folder)
    with pytest.raises(UserError, match=r"model: holds .*, which hat did not write; move it away"):
        deploy(artefact, folder, form)
    assert names(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("config", ["{}", '{"model_type": "bert", "format": 1}', "[]", "no JSON", "[" * 9999])
def test_other_programs_models_are_not_replaced(tmp_path: Path, artefact: Artefact, config: str) -> None:
    folder = tmp_path / "bert"
    folder.mkdir()
    (folder / "config.json").write_text(config)
    (folder / "model.safetensors").write_text("weights")
    for form in FORMATS:
        with pytest.raises(UserError, match="bert: exists and is not a model; choose another place"):
            deploy(artefact, folder, form)
    with pytest.raises(UserError, match="bert: exists and is not an artefact"):
        artefact.save(folder)
    assert (folder / "model.safetensors").read_text() == "weights"
    assert names(folder) == ["config.json", "model.safetensors"]


def test_links_are_not_followed(tmp_path: Path, artefact: Artefact) -> None:
    artefact.save(tmp_path / "model")
    (tmp_path / "link").symlink_to("model")
    with pytest.raises(UserError, match="link: exists and is not an artefact"):
        artefact.save(tmp_path / "link")
    weights = tmp_path / "model" / "model.safetensors"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"holds model\.safetensors, which hat did not write"):
        artefact.save(tmp_path / "model")


def test_a_mount_point_and_the_current_folder_are_not_replaced(
    tmp_path: Path, artefact: Artefact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "volume")
    for name in ("volume", "here"):
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match="volume: is a mount point, which cannot be replaced; name a folder"):
        artefact.save(tmp_path / "volume")
    monkeypatch.chdir(tmp_path / "here")
    for here in (Path(), tmp_path / "here", tmp_path / "volume" / ".." / "here"):
        with pytest.raises(UserError, match="is the current folder, which cannot be replaced; name a folder"):
            artefact.save(here)
    artefact.save(Path("model"))
    artefact.save(tmp_path / "volume" / "model")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "volume"]
    assert Path("model/config.json").is_file()


def test_what_comes_while_a_model_is_written_stays(tmp_path: Path, artefact: Artefact) -> None:
    artefact.save(tmp_path / "model")

    def write() -> None:
        with atomic_folder(tmp_path / "model", MODEL) as temporary:
            artefact.write(temporary)
            (tmp_path / "model" / "notes.txt").write_text("work")

    with pytest.raises(UserError, match=r"holds notes\.txt"):
        write()
    assert (tmp_path / "model" / "notes.txt").read_text() == "work"


def test_devices_and_folders_are_no_files_to_replace(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(UserError, match=f"{name}: exists and is not a plain file"):
            write_text(tmp_path / name, "text")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "x"), True),
        (OSError(errno.EDQUOT, "x"), True),
        (OSError("8192 requested and 1024 written"), True),
        (SafetensorError("I/O error: No space left on device (os error 28)"), True),
        (SafetensorError("I/O error: Disk quota exceeded (os error 122)"), True),
        (sqlite3.OperationalError("database or disk is full"), True),
        (DiskFull("x"), True),
        (HatError("No space left on device"), False),
        (OSError(errno.EIO, "No space left on device"), False),
        (ValueError("oops"), False),
    ],
)
def test_a_full_disk_is_known_by_its_errors(error: Exception, expected: bool) -> None:
    assert is_full(error) == expected


def test_the_outer_place_is_named_and_other_errors_pass() -> None:
    def written() -> None:
        with Room(Path("outer")), Room(Path("inner")):
            raise OSError(errno.ENOSPC, "no room")

    with pytest.raises(DiskFull, match=r"^outer: the disk is full; make room and run it again$"):
        written()
    with pytest.raises(ValueError, match="oops"), Room(Path("x")):
        raise ValueError("oops")


def no_locks(descriptor: int, operation: int) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_a_file_system_without_locks_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", no_locks)
    told = r"run: this file system has no locks \(No locks available\)"
    with pytest.raises(UserError, match=told), locked(tmp_path / "run"):
        pass
    with pytest.raises(UserError, match="x: this file system has no locks"):
        fetch(RemoteFile("x", "http://127.0.0.1:9/x"), Places(tmp_path))


@pytest.mark.parametrize("name", ["SQLITE_PROTOCOL", "SQLITE_IOERR_LOCK"])
def test_a_store_without_locks_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def connect(*arguments: object, **options: object) -> None:
        error = sqlite3.OperationalError("locking protocol")
        error.sqlite_errorname = name
        raise error

    monkeypatch.setattr(sqlite3, "connect", connect)
    with pytest.raises(UserError, match=r"m\.sqlite: this file system has no locks \(locking protocol\)"):
        MeasurementStore(tmp_path / "m.sqlite")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_that_could_not_be_read_again_is_not_written(tmp_path: Path, number: float) -> None:
    write_json(tmp_path / "loss.json", {"loss": 1.5})
    with pytest.raises(HatError, match=r"loss\.json: not written, as a number in it is not finite"):
        write_json(tmp_path / "loss.json", {"losses": [2.5, number]})
    assert read_json(tmp_path / "loss.json") == {"loss": 1.5}
    assert [path.name for path in tmp_path.iterdir()] == ["loss.json"]


def test_a_temporary_file_of_a_killed_writer_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / ".a.hat-unfinished").write_text("half")
    with atomic_path(tmp_path / "a") as temporary:
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
