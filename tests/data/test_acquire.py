"""Downloads: resumed, checked, from mirrors; and what a bad network or a full disk leaves behind."""

import errno
import hashlib
import os
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from hat.data import acquire
from hat.data.acquire import Places, RemoteFile, fetch, mirrors_of_environment
from hat.errors import HatError, UserError
from tests.data.file_server import FileServer, serving

CONTENT = random.Random(0).randbytes(700_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving() as told:
        told.files["/a/x.tgz"] = CONTENT
        yield told


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def places(tmp_path: Path, waits: list[float]) -> Places:
    return Places(tmp_path / "cache", attempts=3, timeout=5, wait=waits.append)


def archive(server: FileServer, sha256: str | None = SHA256, size: int | None = None) -> RemoteFile:
    return RemoteFile("x.tgz", f"{server.url}/a/x.tgz", sha256, size)


def left_over(places: Places) -> set[str]:
    return {path.name for path in places.cache.iterdir() if not path.name.startswith(".")}


def test_fetched_once(server: FileServer, places: Places) -> None:
    shown: list[tuple[float, float]] = []
    path = fetch(archive(server), places, lambda done, total, note: shown.append((done, total)))
    assert path == places.cache / "x.tgz"
    assert path.read_bytes() == CONTENT
    assert shown[-1] == (len(CONTENT), len(CONTENT))
    assert left_over(places) == {"x.tgz", "x.tgz.sha256"}
    fetch(archive(server), places)
    assert len(server.requests) == 1


def test_what_is_cut_short_goes_on(server: FileServer, places: Places, waits: list[float]) -> None:
    server.cuts = [300_000, 100_000]
    assert fetch(archive(server), places).read_bytes() == CONTENT
    ranges = [wanted for _, wanted in server.requests]
    assert ranges == [None, "bytes=300000-", "bytes=400000-"]
    assert waits == [1.0, 1.0]


def test_a_later_process_goes_on(server: FileServer, places: Places) -> None:
    server.cuts = [300_000]
    server.statuses = []

    def killed(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(archive(server), Places(places.cache, wait=killed))
    assert not (places.cache / "x.tgz").exists()
    assert fetch(archive(server), places).read_bytes() == CONTENT
    assert server.requests[-1][1] == "bytes=300000-"


@pytest.mark.parametrize("lengths", [True, False])
@pytest.mark.parametrize("sha256", [SHA256, None])
def test_a_download_killed_after_its_last_byte_is_whole(
    server: FileServer, places: Places, lengths: bool, sha256: str | None
) -> None:
    def killed(done: float, total: float, note: str) -> None:
        if done == len(CONTENT):
            raise KeyboardInterrupt

    server.lengths = lengths
    with pytest.raises(KeyboardInterrupt):
        fetch(archive(server, sha256), places, killed)
    assert (places.cache / "x.tgz.part").read_bytes() == CONTENT
    server.lengths = True if sha256 is None else lengths
    assert fetch(archive(server, sha256), places).read_bytes() == CONTENT
    assert left_over(places) == {"x.tgz", "x.tgz.sha256"}
    assert len(server.requests) == (1 if lengths else 2)
    assert lengths or server.requests[1][1] == f"bytes={len(CONTENT)}-"


def test_a_part_that_is_longer_than_the_file_starts_anew(server: FileServer, places: Places) -> None:
    server.cuts = [300_000]

    def killed(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(archive(server), Places(places.cache, wait=killed))
    part = places.cache / "x.tgz.part"
    part.write_bytes(CONTENT + b"more")
    assert fetch(archive(server), places).read_bytes() == CONTENT


def test_another_programs_download_stays(server: FileServer, places: Places) -> None:
    places.cache.mkdir()
    (places.cache / "x.tgz.part").write_text("a browser's")
    with pytest.raises(UserError, match=r"x\.tgz\.part: is another program's download"):
        fetch(archive(server), places)
    assert (places.cache / "x.tgz.part").read_text() == "a browser's"


def test_another_content_in_the_meantime_starts_anew(server: FileServer, places: Places) -> None:
    changed = CONTENT[::-1]

    def change(seconds: float) -> None:
        server.files["/a/x.tgz"], server.etag = changed, '"2"'

    server.cuts = [300_000]
    path = fetch(archive(server, None), Places(places.cache, wait=change))
    assert path.read_bytes() == changed


@pytest.mark.parametrize(("etag", "ranges"), [(None, True), ('W/"1"', True), ('"1"', False)])
def test_servers_without_ranges(server: FileServer, places: Places, etag: str | None, ranges: bool) -> None:
    server.etag, server.ranges, server.cuts = etag, ranges, [300_000]
    assert fetch(archive(server), places).read_bytes() == CONTENT


def test_a_slow_server_is_asked_again(server: FileServer, places: Places) -> None:
    server.stalls = [1.0]
    assert fetch(archive(server), Places(places.cache, timeout=0.2, wait=places.wait)).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_busy_server_is_asked_again(server: FileServer, places: Places, waits: list[float]) -> None:
    server.statuses = [503, 429]
    assert fetch(archive(server), places).read_bytes() == CONTENT
    assert waits == [2.0, 4.0]  # each time longer


def test_nobody_has_it(server: FileServer, places: Places) -> None:
    del server.files["/a/x.tgz"]
    with pytest.raises(HatError, match=r"^x\.tgz: no place gives it: http://.*/x\.tgz \(404 .*\); data\.mir"):
        fetch(archive(server), places)
    assert len(server.requests) == 1
    server.files["/a/x.tgz"], server.statuses = CONTENT, [500] * 3
    with pytest.raises(HatError, match="500"):
        fetch(archive(server), places)
    assert not (places.cache / "x.tgz").exists()


def test_no_network(places: Places, waits: list[float]) -> None:
    with pytest.raises(HatError, match=r"no place gives it: .*Connection refused"):
        fetch(RemoteFile("x.tgz", "http://127.0.0.1:9/x.tgz"), places)
    assert waits == [2.0, 4.0]


def test_an_unknown_host_is_not_asked_again(places: Places, waits: list[float]) -> None:
    with pytest.raises(HatError, match=r"x\.tgz \((?!<urlopen)"):
        fetch(RemoteFile("x.tgz", "http://host.invalid/x.tgz"), places)
    assert waits == []


def test_mirrors_come_first(server: FileServer, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["/good/x.tgz"] = CONTENT
    mirrors = (f"{server.url}/bad/", f"{server.url}/good")
    fetch(archive(server), Places(places.cache, mirrors))
    assert [path for path, _ in server.requests] == ["/bad/x.tgz", "/good/x.tgz"]
    monkeypatch.setenv("HAT_MIRRORS", "http://one/a  http://two")
    assert mirrors_of_environment() == ("http://one/a", "http://two")


def test_a_wrong_checksum_is_refused_everywhere(server: FileServer, places: Places) -> None:
    server.files["/bad/x.tgz"] = CONTENT[:-1] + b"!"
    assert fetch(archive(server), Places(places.cache, (f"{server.url}/bad",))).read_bytes() == CONTENT
    (places.cache / "x.tgz").unlink()
    server.files["/a/x.tgz"] = b"other"
    with pytest.raises(HatError, match=rf"checksum [0-9a-f]+, expected {SHA256}"):
        fetch(archive(server), places)
    assert not (places.cache / "x.tgz").exists()
    assert not (places.cache / "x.tgz.part").exists()
    with pytest.raises(HatError, match=r"5 bytes there, 700,000 expected"):
        fetch(archive(server, None, len(CONTENT)), places)


def test_the_cache_is_checked(server: FileServer, places: Places) -> None:
    path = fetch(archive(server, None), places)
    path.write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"cache/x\.tgz: checksum .*; delete it to download it again"):
        fetch(archive(server, None), places)


def test_an_offline_folder_is_all_there_is(server: FileServer, places: Places, tmp_path: Path) -> None:
    offline = Places(places.cache, offline=tmp_path / "disk")
    with pytest.raises(UserError, match=r"disk/x\.tgz: not in the offline folder; it comes from http"):
        fetch(archive(server), offline)
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "x.tgz").write_bytes(CONTENT)
    assert fetch(archive(server), offline) == tmp_path / "disk" / "x.tgz"
    (tmp_path / "disk" / "x.tgz").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"disk/x\.tgz: checksum"):
        fetch(archive(server), offline)
    assert server.requests == []
    assert not places.cache.exists()


def test_a_full_disk(server: FileServer, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(acquire.os, "fsync", full)
        with pytest.raises(HatError, match=r"x\.tgz\.part: the disk is full; make room"):
            fetch(archive(server), places)
    assert not (places.cache / "x.tgz").exists()
    assert fetch(archive(server), places).read_bytes() == CONTENT


def test_a_disk_that_is_too_small(
    server: FileServer, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 1000

    monkeypatch.setattr(acquire.shutil, "disk_usage", lambda path: Usage)
    with pytest.raises(HatError, match=r"needs 700,000 bytes, the disk has 1,000 free"):
        fetch(archive(server), places)
    assert left_over(places) == set()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of 127.0.0.1 and its key, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + secret)
    return path


@pytest.fixture
def secure(server: FileServer, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server that is trusted, beside the other."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(certificate) as told:
        told.files["/a/x.tgz"] = CONTENT
        yield told


def test_no_step_down_from_https(
    server: FileServer, secure: FileServer, places: Places, waits: list[float]
) -> None:
    secure.redirects["/a/x.tgz"] = f"{server.url}/a/x.tgz"
    # Neither at once nor after a step up; not even where the checksum would be right.
    server.redirects["/up"] = f"{secure.url}/a/x.tgz"
    for url in (f"{secure.url}/a/x.tgz", f"{server.url}/up"):
        with pytest.raises(HatError, match=r"redirects from https to http://.*, which is refused"):
            fetch(RemoteFile("x.tgz", url, SHA256), places)
    assert (left_over(places), waits) == (set(), [])
    assert ("/a/x.tgz", None) not in server.requests


@pytest.mark.parametrize("elsewhere", ["ftp://127.0.0.1/x.tgz", "file:///etc/passwd"])
def test_no_redirect_out_of_the_web(server: FileServer, places: Places, elsewhere: str) -> None:
    server.redirects["/a/x.tgz"] = elsewhere
    with pytest.raises(HatError, match=r"x\.tgz: no place gives it"):
        fetch(archive(server), places)


def test_other_redirects_are_followed(server: FileServer, secure: FileServer, places: Places) -> None:
    server.redirects |= {"/1": "/2", "/2": f"{secure.url}/3"}
    secure.redirects["/3"] = "/a/x.tgz"
    assert fetch(RemoteFile("x.tgz", f"{server.url}/1"), places).read_bytes() == CONTENT


def test_a_certificate_of_somebody_else_is_refused_at_once(
    secure: FileServer, places: Places, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(HatError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(archive(secure), places)
    assert waits == []


def test_what_neither_tls_nor_a_checksum_vouches_for_is_told(
    server: FileServer, secure: FileServer, places: Places, tmp_path: Path
) -> None:
    told: list[str] = []
    for number, (where, sha256) in enumerate([(secure, None), (secure, SHA256), (server, SHA256)]):
        fetch(archive(where, sha256), replace(places, cache=tmp_path / str(number), say=told.append))
    assert told == []
    for _ in range(2):  # at each use: the second run may be somebody else's
        fetch(archive(server, None), replace(places, say=told.append))
    assert told[0] == told[1]
    assert told[0].startswith(f"x.tgz: came from {server.url}/a/x.tgz, so nobody vouches for its content")
    assert SHA256 in told[0]
    mirrored = replace(places, cache=tmp_path / "mirrored", mirrors=(f"{server.url}/a",), say=told.append)
    fetch(archive(secure, None), mirrored)
    assert "nobody vouches" in told[2]


def test_what_was_put_into_the_cache_or_a_folder_is_its_owners(
    server: FileServer, places: Places, tmp_path: Path
) -> None:
    told: list[str] = []
    places.cache.mkdir()
    (places.cache / "x.tgz").write_bytes(CONTENT)
    for offline in (None, places.cache):
        fetch(archive(server, None), replace(places, offline=offline, say=told.append))
    assert (told, server.requests) == ([], [])


def test_an_earlier_versions_note_still_counts(server: FileServer, places: Places) -> None:
    told: list[str] = []
    places.cache.mkdir()
    (places.cache / "x.tgz").write_bytes(CONTENT)
    (places.cache / "x.tgz.sha256").write_text(f"{SHA256}\n")
    fetch(archive(server, None), replace(places, say=told.append))
    assert "came from a place that was not noted" in told[0]
    (places.cache / "x.tgz").write_bytes(CONTENT[:-1])
    with pytest.raises(UserError, match=r"checksum .*, expected"):
        fetch(archive(server, None), places)


def test_proxies_are_used(server: FileServer, places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", server.url)
    server.files["http://corpora.invalid/x.tgz"] = CONTENT
    found = fetch(RemoteFile("x.tgz", "http://corpora.invalid/x.tgz", SHA256), places)
    assert found.read_bytes() == CONTENT
