"""Files and folders, read strictly and written atomically."""

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hat.disk import Room, make_folder, remove, replace_file, replace_folder, restore_folder, unfinished
from hat.errors import HatError, UserError, named
from hat.strict_json import parse_json
from hat.strict_yaml import key_lines, line_of, parse_yaml

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Record = TypeVar("Record", bound="DataclassInstance")
# The most bytes read of a file, by kind: YAML is written by hand, and slow to read.
MOST_TEXT_BYTES, MOST_JSON_BYTES, MOST_YAML_BYTES = 2**28, 2**26, 2**18


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success move that file to `path` and flush it to the disk.

    A killed writer leaves at most one stray file. Raises DiskFull, and UserError where `path` is a folder, a
    device or the like.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path}: exists and is not a plain file; choose another name")
    temporary = unfinished(path)
    with Room(path):
        make_folder(path.parent)
        try:
            yield temporary
            replace_file(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder that this project writes. `name`: with its article, as in "a model". `marked`: True if
    a folder has HAT's mark, which no other program writes. `files`: all files that it may hold, as relative
    paths."""

    name: str
    marked: Callable[[Path], bool]
    files: frozenset[str]

    def check_replaceable(self, folder: Path) -> None:
        """Raises UserError if replacing `folder` by another of this kind would lose a file not of HAT's."""
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            raise UserError(f"{folder}: exists and is not {self.name}; choose another place")
        if not folder.exists():
            return
        # No system replaces a mount point; a shell loses its current folder if that is replaced.
        if (mounted := os.path.ismount(folder)) or folder.samefile("."):
            kind = "a mount point" if mounted else "the current folder"
            raise UserError(f"{folder}: is {kind}, which cannot be replaced; name a folder in it")
        if not any(folder.iterdir()):
            return
        if not self.marked(folder):
            raise UserError(f"{folder}: exists and is not {self.name}; choose another place")
        folders = {str(parent) for file in self.files for parent in Path(file).parents}
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            known = name in folders if path.is_dir() else name in self.files
            if path.is_symlink() or not known:
                raise UserError(
                    f"{folder}: holds {named(name)}, which hat did not write; move it away, or choose "
                    "another place"
                )


@contextmanager
def atomic_folder(folder: Path, kind: FolderKind) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; on success move it to `folder` and flush it to the disk.

    An earlier folder of the same kind is replaced. Raises DiskFull, and UserError where anything else is
    there.
    """
    restore_folder(folder)
    kind.check_replaceable(folder)
    folder = Path(os.path.realpath(folder))
    temporary = unfinished(folder)
    with Room(folder):
        remove(temporary)
        make_folder(temporary)
        try:
            yield temporary
            kind.check_replaceable(folder)  # again, since writing may have taken long
            replace_folder(temporary, folder)
        finally:
            remove(temporary)


def check_new(path: Path, is_own: Callable[[Path], bool], kind: str) -> None:
    """Raises UserError if `path` exists, unless `is_own` recognises the file as `kind`, for example "an
    export of measurements": writing there would lose it."""
    if path.is_symlink() or (path.exists() and not (path.is_file() and is_own(path))):
        raise UserError(f"{path}: exists and is not {kind}; choose another name, or remove it first")


SEAL = "# hat overwrites this file as long as nothing in it was changed; seal "


def write_sealed_yaml(path: Path, text: str) -> None:
    """Write YAML with a last line that shows later whether the file was edited. An earlier file of this kind
    is replaced if it was not edited. Raises UserError, DiskFull."""
    check_new(path, _is_unchanged, "an unchanged file of hat's")
    write_text(path, text + _seal(text))


def _is_unchanged(path: Path) -> bool:
    text, mark, _ = (whole := path.read_bytes().decode(errors="replace")).rpartition(SEAL)
    return bool(mark) and whole == text + _seal(text)


def _seal(text: str) -> str:
    return f"{SEAL}{digest(text)[:12]}\n"


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON, whole or not at all. Raises HatError if a number in it is not finite:
    JSON cannot express that, and `read_json` would refuse the file."""
    try:
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise HatError(f"{path}: not written, as a number in it is not finite ({error})") from error
    write_text(path, text + "\n")


def read_text(path: Path) -> str:
    """The text of a UTF-8 file of at most MOST_TEXT_BYTES, with its line ends, without a byte order mark.
    Raises UserError naming the path, the line and the reason."""
    return read_document(path, MOST_TEXT_BYTES)


def read_document(path: Path, most: int = MOST_YAML_BYTES) -> str:
    """The text of a YAML or JSON file, read as by `read_text`, of at most `most` bytes."""
    try:
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    if len(content) > most:
        raise UserError(f"{path}: larger than {most:,} bytes, the most that is read of such a file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: not UTF-8 text (byte {error.start})") from error


def read_json(path: Path) -> Any:
    """Read a JSON file as `parse_json` does. Raises UserError naming path and line."""
    return parse_json(read_document(path, MOST_JSON_BYTES), str(path))


def read_yaml(path: Path) -> Any:
    """Read a YAML (or JSON) file as `parse_yaml` does. Raises UserError naming path and line."""
    return parse_yaml(read_document(path), str(path))


@contextmanager
def naming_lines(path: Path, line: Callable[[], int | None] = lambda: None) -> Iterator[None]:
    """Context for checks of a YAML file's content: adds a line number to errors of the form `path: key:
    problem`. It is that of `line`, or that of the key if `line` gives none."""
    try:
        yield
    except UserError as error:
        place, colon, problem = str(error).partition(f"{path}: ")
        if place or not colon:
            raise
        number = line() or line_of(problem, key_lines(read_document(path), str(path)))
        raise UserError(f"{path}:{number}: {problem}") from error


def check_keys(
    value: object, known: Collection[str], where: str, optional: Collection[str] = ()
) -> Mapping[str, Any]:
    """Return `value` if it is a mapping with exactly the `known` keys (those in `optional` may be absent).
    Raises UserError that names `where`, the offending keys and the known ones."""
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: expected a mapping with the keys {', '.join(known)}")
    unknown = [str(key) for key in value if key not in known]
    if unknown:
        keys = named(", ".join(unknown))
        raise UserError(f"{where}: unknown key {keys}; the known keys are {', '.join(known)}")
    missing = [key for key in known if key not in value and key not in optional]
    if missing:
        raise UserError(f"{where}: missing key {', '.join(missing)}")
    return value


def record_from(
    kind: type[Record], value: object, where: str, known: Collection[str] | None = None
) -> Record:
    """The dataclass `kind` from a mapping of exactly its fields, or of those that are `known`. Raises
    UserError that names `where` and the key."""
    keys = check_keys(value, known or [field.name for field in fields(kind)], where)
    try:
        return kind(**keys)
    except UserError as error:
        raise UserError(f"{where}.{error}") from error


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(value: object) -> str:
    """SHA-256 of JSON-like data, independent of the order of keys, in hexadecimal."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
