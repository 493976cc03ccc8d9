"""Archives: the members that are asked for, and nothing else, whatever is in them."""

import gzip
import io
import random
import tarfile
import zipfile
from pathlib import Path

import pytest

from hat.data.archive import CHUNK, extract, is_archive
from hat.errors import UserError
from tests.data.zstandard import zstandard

MEMBERS = {"in/a.en": b"a\n" * 5000, "in/a.de": random.Random(0).randbytes(50_000), "notes": b"x"}


def tar(path: Path, members: dict[str, bytes], kind: str = "gz") -> Path:
    with tarfile.open(path, f"w:{kind}") as archive:  # type: ignore[call-overload]
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make(path: Path, members: dict[str, bytes]) -> Path:
    if path.suffix.lower() == ".zst":
        content = tar(path.with_suffix(".plain"), members, "").read_bytes()
        path.write_bytes(zstandard(content))
        path.with_suffix(".plain").unlink()
        return path
    kind = {".tgz": "gz", ".tar": "", ".bz2": "bz2", ".xz": "xz", "": "gz"}.get(path.suffix.lower())
    return zipped(path, members) if kind is None else tar(path, members, kind)


@pytest.mark.parametrize(
    "name", ["x.tgz", "x.tar", "x.tar.bz2", "x.tar.xz", "x.tar.zst", "x.zip", "X.TGZ", "X.ZIP", "download"]
)
def test_members_come_out(tmp_path: Path, name: str) -> None:
    archive = make(tmp_path / name, MEMBERS)
    out = tmp_path / "out"
    assert is_archive(archive)
    extract(archive, {"in/a.en": out / "1", "in/a.de": out / "2"})
    assert (out / "1").read_bytes() == MEMBERS["in/a.en"]
    assert (out / "2").read_bytes() == MEMBERS["in/a.de"]
    assert len(list(out.iterdir())) == 2
    with pytest.raises(UserError, match=rf"{name}: holds no in/b\.en"):
        extract(archive, {"in/a.en": out / "1", "in/b.en": out / "3"})


def test_a_leading_dot_is_the_same_name(tmp_path: Path) -> None:
    extract(tar(tmp_path / "x.tgz", {"./a": b"1"}), {"a": tmp_path / "a"})
    assert (tmp_path / "a").read_bytes() == b"1"


@pytest.mark.parametrize("evil", ["../evil", "/etc/evil", "in/../../evil", "..\\evil"])
@pytest.mark.parametrize("name", ["x.tgz", "x.zip"])
def test_path_traversal_is_refused(tmp_path: Path, name: str, evil: str) -> None:
    archive = make(tmp_path / name, {evil: b"evil", "a": b"1"})
    with pytest.raises(UserError, match=rf"{name}: refused: its member .*evil lies outside"):
        extract(archive, {"a": tmp_path / "out" / "a"})
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(("member", "attributes"), [("a", 0o120777 << 16), ("a/", 0o040755 << 16)])
def test_zips_of_links_and_folders_are_refused(tmp_path: Path, member: str, attributes: int) -> None:
    path = tmp_path / "x.zip"
    entry = zipfile.ZipInfo(member)
    entry.external_attr = attributes
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, "" if member.endswith("/") else "/etc/passwd")
    with pytest.raises(UserError, match=r"x\.zip: refused: a is not a plain file"):
        extract(path, {"a": tmp_path / "out"})
    assert not (tmp_path / "out").exists()


def test_links_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        entry = tarfile.TarInfo("a")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(UserError, match=r"x\.tar: refused: a is not a plain file"):
        extract(path, {"a": tmp_path / "out"})
    assert not (tmp_path / "out").exists()


def test_text_is_no_archive_but_what_is_named_one_is(tmp_path: Path) -> None:
    for name, content in {
        "a.tsv.gz": gzip.compress(b"a\tb\n"),
        "a.txt": b"PK\n",
        "b.GZ": b"\x1f\x8b\x08",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert not is_archive(tmp_path / name)
    page = tmp_path / "x.tgz"
    page.write_bytes(b"<html>Please log in</html>")
    assert is_archive(page)  # and so its text is not taken for a corpus
    with pytest.raises(UserError, match=r"x\.tgz: damaged archive"):
        extract(page, {"a": tmp_path / "a"})


@pytest.mark.parametrize("claimed", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, claimed: bytes) -> None:
    path, entry = tmp_path / "x.tar", tarfile.TarInfo("a")
    entry.type, entry.size = claimed, 64 * CHUNK
    path.write_bytes(gzip.compress(entry.tobuf() + b"0" * entry.size))
    with pytest.raises(UserError, match=r"x\.tar: damaged archive \(a header of 67,108,864 bytes\)"):
        extract(path, {"a": tmp_path / "out"})


def test_a_sparse_member_which_may_be_of_any_size_is_refused(tmp_path: Path) -> None:
    path, entry = tmp_path / "x.tar", tarfile.TarInfo("a")
    entry.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.size": str(1 << 50), "GNU.sparse.map": "0,0"}
    path.write_bytes(entry.tobuf(tarfile.PAX_FORMAT) + b"\0" * 1024)
    with pytest.raises(UserError, match=r"x\.tar: refused: a is not a plain file"):
        extract(path, {"a": tmp_path / "out"})


@pytest.mark.parametrize("name", ["x.tgz", "x.tar", "x.tar.bz2", "x.tar.xz", "x.tar.zst", "x.zip"])
def test_damage_is_one_line_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    archive = make(tmp_path / name, MEMBERS)
    whole = archive.read_bytes()
    flipped = bytearray(whole)
    for position in range(len(whole) // 2, len(whole) // 2 + 40):
        flipped[position] ^= 0x55
    damaged = [b"", b"no archive", whole[: len(whole) // 3]]
    if name != "x.tar":  # which has no checksums of contents
        damaged.append(bytes(flipped))
    for content in damaged:
        archive.write_bytes(content)
        with pytest.raises(UserError) as caught:
            extract(archive, {"in/a.de": tmp_path / "out"})
        assert str(caught.value).startswith(f"{archive}: ")
        assert len(str(caught.value).splitlines()) == 1
        assert not (tmp_path / "out").exists()
