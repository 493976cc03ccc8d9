"""Corpora's archives from the network: resumed, checked, from mirrors, or from an offline folder.

A file from an https URL is vouched for by its host, a file with a checksum by the author of the checksum.
Any other file may have been changed on its way, and a warning says so.

Proxies are those of the environment (http_proxy, https_proxy, no_proxy), as `urllib` takes them.
"""

import os
import shutil
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, Any, BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from hat.disk import Room, lock, replace_file
from hat.errors import DiskFull, HatError, UserError, named
from hat.files import file_digest, read_json, read_text, write_json, write_text
from hat.progress import Progress, silent

MIRRORS_VARIABLE = "HAT_MIRRORS"
CHUNK = 1 << 18
VOUCHED = ("https", "file")  # URL schemes whose content nobody can change on its way
LONGEST_WAIT = 60.0  # seconds between attempts
TRY_LATER = (408, 425, 429)  # the statuses 4xx that may pass
RANGE_NOT_THERE = 416  # also the answer to a range that begins at the end of a complete file


@dataclass(frozen=True)
class RemoteFile:
    """A file to fetch. `name`: its name in caches, on mirrors and in offline folders.
    `sha256`, `size` (bytes): None if unknown."""

    name: str
    url: str
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Places:
    """The sources of archives. `mirrors`: folders (URLs) that hold files by name, tried before an archive's
    own URL. `offline`: a folder to take everything from, without the network. A place is given up after
    `attempts` without progress; an attempt ends after `timeout` seconds without a byte. `wait` sleeps. `say`
    prints a line for the user, about files that nobody vouches for."""

    cache: Path
    mirrors: tuple[str, ...] = ()
    offline: Path | None = None
    attempts: int = 5
    timeout: float = 30.0
    wait: Callable[[float], None] = time.sleep
    say: Callable[[str], None] = lambda line: None


class _GivenUp(Exception):
    """A place does not give the file. The message is for the user."""


def mirrors_of_environment() -> tuple[str, ...]:
    """The mirrors that HAT_MIRRORS names, separated by spaces."""
    return tuple(os.environ.get(MIRRORS_VARIABLE, "").split())


def fetch(archive: RemoteFile, places: Places, progress: Progress = silent) -> Path:
    """The archive on this machine, downloaded if need be; `progress` counts bytes.

    An interrupted download continues where it stopped, and the file gets its name only when it is complete
    and its checksum right (that of the first download, if none is known). Raises UserError for an offline
    folder without it or a wrong checksum there, HatError where no place gives it or the disk is full.
    """
    if places.offline is not None:
        path = places.offline.expanduser() / archive.name
        if not path.is_file():
            raise UserError(f"{path}: not in the offline folder; it comes from {archive.url}")
        if problem := _mismatch(path, archive):
            raise UserError(f"{path}: {problem}")
        return path
    path = places.cache / archive.name
    try:
        with Room(places.cache):
            places.cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{places.cache}: cannot make this folder ({error.strerror})") from error
    # One process at a time fetches a file.
    with path.with_name(f".{path.name}.lock").open("w") as stream:
        lock(stream.fileno(), path, wait=True)
        if not path.is_file():
            _download(archive, path, places, progress)
        elif problem := _mismatch(path, archive):
            raise UserError(f"{path}: {problem}; delete it to download it again")
    if doubt := _doubt(path, archive):
        places.say(f"{archive.name}: {doubt}")
    return path


def _download(archive: RemoteFile, path: Path, places: Places, progress: Progress) -> None:
    part = path.with_name(f"{path.name}.part")
    problems = []
    mirrored = [f"{mirror.rstrip('/')}/{archive.name}" for mirror in places.mirrors]
    for url in (*mirrored, archive.url):
        try:
            _Download(url, part, archive=archive, places=places, progress=progress).complete()
        except _GivenUp as error:
            problems.append(f"{url} ({error})")
            continue
        write_text(_record(path), f"{file_digest(part)}  {url}\n")
        replace_file(part, path)
        _state(part).unlink(missing_ok=True)
        return
    raise HatError(
        f"{archive.name}: no place gives it: {'; '.join(problems)}; "
        "data.mirrors names others, data.offline a folder that has it"
    )


class _Download:
    """The download of one URL into an unfinished file; a state file beside it names the URL."""

    def __init__(
        self, url: str, part: Path, *, archive: RemoteFile, places: Places, progress: Progress
    ) -> None:
        self._url, self._part, self._archive = url, part, archive
        self._places, self._progress = places, progress
        if part.exists() and not _state(part).is_file():  # browsers use the same name
            raise UserError(f"{part}: is another program's download; move it away, or change data.cache")
        state: Mapping[str, Any] = read_json(_state(part)) if _state(part).is_file() else {}
        if state.get("url") != url:
            part.unlink(missing_ok=True)
            state = {}
        self._validator: str | None = state.get("validator")
        self._total: int | None = state.get("total")

    def complete(self) -> None:
        """Fetch the whole file. Raises _GivenUp, or HatError where the disk is full."""
        idle = 0
        while True:
            before = self._size()
            try:
                self._transfer()
                break
            except HTTPError as error:
                if error.code == RANGE_NOT_THERE and before:
                    if self._is_whole(error, before):
                        break
                    self._part.unlink()  # not the beginning of the file on the server
                elif 400 <= error.code < 500 and error.code not in TRY_LATER:
                    raise _GivenUp(f"{error.code} {error.reason}") from error
                problem = f"{error.code} {error.reason}"
            except (OSError, HTTPException) as error:
                problem = str(getattr(error, "reason", error)) or type(error).__name__
                if _is_permanent(error):
                    raise _GivenUp(problem) from error
            idle = 0 if self._size() > before else idle + 1
            if idle == self._places.attempts:
                raise _GivenUp(problem)
            self._places.wait(min(LONGEST_WAIT, 2.0**idle))
        if mismatch := _mismatch(self._part, self._archive):
            self._part.unlink()
            raise _GivenUp(mismatch)

    def _transfer(self) -> None:
        """Ask for all missing bytes in one request. Raises OSError where the answer stops early."""
        offset = self._size()
        if offset and offset == self._total:
            return
        headers = {"User-Agent": "hat", "Accept-Encoding": "identity"}
        if offset and self._validator:
            headers |= {"Range": f"bytes={offset}-", "If-Range": self._validator}
        # A new opener: urllib's common one keeps the proxies of its first use.
        request = Request(self._url, headers=headers)
        with build_opener(_Redirects).open(request, timeout=self._places.timeout) as response:
            given = response.headers.get("Content-Range", "")
            if response.status != 206 or not given.startswith(f"bytes {offset}-"):
                offset = 0
            self._note(response, offset)
            with Room(self._part), self._part.open("r+b" if self._part.exists() else "wb") as stream:
                stream.truncate(offset)
                stream.seek(offset)
                self._copy(response, stream)
                os.fsync(stream.fileno())
        if self._total is not None and self._size() < self._total:
            raise ConnectionError(f"cut short at {self._size():,} of {self._total:,} bytes")

    def _note(self, response: HTTPResponse, offset: int) -> None:
        """Record the size and version of the server's file for later requests. Raises _GivenUp, HatError."""
        length = response.headers.get("Content-Length")
        self._total = offset + int(length) if length and length.isdecimal() else self._archive.size
        self._validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
        if self._validator and self._validator.startswith("W/"):
            self._validator = None  # of equal meaning, not of equal bytes
        size = self._archive.size
        if size is not None and self._total not in (None, size):
            raise _GivenUp(f"{self._total:,} bytes there, {size:,} expected")
        free = shutil.disk_usage(self._part.parent).free
        if self._total is not None and self._total - offset > free:
            raise DiskFull(f"{self._part}: needs {self._total - offset:,} bytes, the disk has {free:,} free")
        state = {"url": self._url, "validator": self._validator, "total": self._total}
        with Room(self._part):
            write_json(_state(self._part), state)

    def _copy(self, response: HTTPResponse, stream: BinaryIO) -> None:
        total = self._total or self._archive.size or 0
        while chunk := response.read(CHUNK):
            stream.write(chunk)
            self._progress(stream.tell(), max(total, stream.tell()), self._archive.name)

    def _is_whole(self, refused: HTTPError, size: int) -> bool:
        """True if a server refuses a range from byte `size` on because its file ends there."""
        unit, _, length = refused.headers.get("Content-Range", "").partition("*/")
        if unit.strip() == "bytes" and length.isdecimal():
            return int(length) == size
        return self._archive.sha256 is not None and _mismatch(self._part, self._archive) is None

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.exists() else 0


class _Redirects(HTTPRedirectHandler):
    """Follows redirects, but not from https to an unprotected scheme, nor out of the web."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """Raises _GivenUp."""
        before, then = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if then != "https" and (before, then) != ("http", "http"):
            fp.close()
            raise _GivenUp(f"redirects from {before} to {named(newurl)}, which is refused")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_permanent(error: Exception) -> bool:
    """True for failures that another attempt would repeat."""
    reason = getattr(error, "reason", None)
    unknown = isinstance(reason, socket.gaierror) and reason.errno == socket.EAI_NONAME
    return unknown or isinstance(reason, ssl.SSLCertVerificationError)


def _mismatch(path: Path, archive: RemoteFile) -> str | None:
    """The difference between a complete file and its known size and checksum; None if there is none."""
    size = path.stat().st_size
    if archive.size is not None and size != archive.size:
        return f"{size:,} bytes, {archive.size:,} expected"
    expected = archive.sha256 or _first_download(path)[0]
    if expected is None:
        return None
    checksum = file_digest(path)
    return None if checksum == expected.lower() else f"checksum {checksum}, expected {expected.lower()}"


def _doubt(path: Path, archive: RemoteFile) -> str | None:
    """A warning about a file that neither a checksum nor TLS vouches for; None for others."""
    checksum, url = _first_download(path)
    if archive.sha256 or checksum is None or urlsplit(url).scheme in VOUCHED:
        return None
    return (
        f"came from {url or 'a place that was not noted'}, so nobody vouches for its content; an https "
        f"URL would, or sha256: {checksum} in the recipe, once you have compared it with its publisher's"
    )


def _first_download(path: Path) -> tuple[str | None, str]:
    """Checksum and URL of a file's first download; None and "" for a file that came otherwise."""
    record = _record(path)
    if not record.is_file():
        return None, ""
    checksum, _, url = read_text(record).strip().partition("  ")
    return checksum, url


def _record(path: Path) -> Path:
    """The file that records checksum and URL of the first download."""
    return path.with_name(f"{path.name}.sha256")


def _state(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")
