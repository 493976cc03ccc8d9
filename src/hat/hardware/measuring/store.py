"""Raw timings on disk: one SQLite file, one row per model, written when the model is done.

Rows hold raw readings of the clock; drift is corrected on reading, since that takes a whole series. Nothing
in a row depends on when or how often measuring was interrupted; times of day, load and versions are in the
environment that each row names. Several processes may write at once.
"""

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, fields
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

from hat.architecture import ModelConfig
from hat.disk import Room, has_no_room, is_full, make_folder, no_locks
from hat.errors import DiskFull, HatError, UserError, named, shown
from hat.files import digest
from hat.hardware.device.answers import is_time
from hat.hardware.protocol import MeasureProtocol
from hat.strict_json import parse_json

log = logging.getLogger("hat")

SCHEMA = 1
TABLES = """
CREATE TABLE environment (
  id INTEGER PRIMARY KEY, device TEXT NOT NULL, taken_at TEXT NOT NULL, content TEXT NOT NULL
);
CREATE TABLE protocol (digest TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE measurement (
  series TEXT NOT NULL, device TEXT NOT NULL, model TEXT NOT NULL, protocol TEXT NOT NULL REFERENCES protocol,
  reference TEXT NOT NULL, architecture TEXT NOT NULL, pairs_ms TEXT NOT NULL, first_ms TEXT NOT NULL,
  reference_ms TEXT NOT NULL, memory_bytes INTEGER, energy_j REAL, disturbed INTEGER NOT NULL,
  environment INTEGER NOT NULL REFERENCES environment,
  UNIQUE (series, device, model, protocol, reference)
);
"""
BUSY_SECONDS = 60.0  # that a writer waits for another's transaction, which is over in milliseconds
# SQLite's messages for a file that cannot be locked, or not shared between processes.
NO_LOCKS = ("SQLITE_PROTOCOL", "SQLITE_IOERR_LOCK", "SQLITE_IOERR_RDLOCK", "SQLITE_IOERR_SHMLOCK")
MACHINE = ("cpu", "machine", "cores")  # equal in two environments of the same machine


@dataclass(frozen=True)
class Record:
    """One model's raw timings, in milliseconds per sentence.

    `series`: the purpose of the measurement; only rows of one series are compared. `pairs_ms`: for each round
    the model's time at each of the protocol's pairs of lengths. `first_ms`: the same for the encoder and the
    first step, in fewer rounds. `reference_ms`: for each round the two times of the reference model, means
    over the pairs. `memory_bytes`: resident memory that loading added. `energy_j`: mean energy of a sentence,
    None where the machine does not report it. `disturbed`: rounds in which other work took the core.
    """

    series: str
    device: str
    model: str
    protocol: str
    reference: str
    architecture: Mapping[str, Any]
    pairs_ms: list[list[float]]
    first_ms: list[list[float]]
    reference_ms: list[list[float]]
    memory_bytes: int | None = None
    energy_j: float | None = None
    disturbed: int = 0

    @property
    def key(self) -> tuple[str, ...]:
        """The values by which measurements are told apart."""
        return self.series, self.device, self.model, self.protocol, self.reference


HAS_KEY = "series = ? AND device = ? AND model = ? AND protocol = ? AND reference = ?"  # a `Record.key`
COLUMNS = tuple(field.name for field in fields(Record))
TIMES = ("pairs_ms", "first_ms", "reference_ms")
DOCUMENTS = ("architecture", *TIMES)
NUMBERS = ("memory_bytes", "energy_j", "disturbed")


def model_key(config: ModelConfig) -> str:
    """Twelve hexadecimal digits for the configuration, which decides a model's latency."""
    return digest(asdict(config))[:12]


class MeasurementStore:
    """The measurements in one file, of any number of devices."""

    def __init__(self, path: Path) -> None:
        """Open or make it. Raises UserError for another version's file, or none of ours."""
        self._path = path
        with Room(path):
            make_folder(path.parent)
        with self._errors_explained(UserError, "not a store of measurements"):
            self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            self._use_write_ahead_log()
            self._connection.execute("PRAGMA synchronous=FULL")
            self._create()

    def _use_write_ahead_log(self) -> None:
        """Wait for other processes that open a new file at the same time, which SQLite does not do."""
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > until:
                    raise
            time.sleep(0.01)

    def _create(self) -> None:
        with self._transaction() as execute:
            (version,) = execute("PRAGMA user_version").fetchone()
            if version not in (0, SCHEMA):
                raise UserError(
                    f"{self._path}: a store of version {version}; this version of hat reads {SCHEMA}"
                )
            if version == 0:
                for statement in (*TABLES.split(";"), f"PRAGMA user_version={SCHEMA}"):
                    execute(statement)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def begin(self, device: str, environment: Mapping[str, Any], protocol: MeasureProtocol) -> int:
        """Record machine and protocol before anything is measured; the environment's number.

        Raises UserError where `device` was another machine before.
        """
        with self._transaction():
            return self._begin(device, environment, protocol, datetime.now(UTC).isoformat(timespec="seconds"))

    def _begin(
        self, device: str, environment: Mapping[str, Any], protocol: MeasureProtocol, taken_at: str
    ) -> int:
        execute = self._connection.execute
        self._check_machine(device, environment)
        content = json.dumps(protocol.to_dict())
        execute("INSERT OR IGNORE INTO protocol VALUES (?, ?)", (protocol.digest(), content))
        row = (device, taken_at, json.dumps(dict(environment)))
        same = "SELECT id FROM environment WHERE device = ? AND taken_at = ? AND content = ?"
        if stored := execute(same, row).fetchone():
            return int(stored[0])
        made = execute("INSERT INTO environment (device, taken_at, content) VALUES (?, ?, ?)", row)
        return int(made.lastrowid or 0)

    def _check_machine(self, device: str, environment: Mapping[str, Any]) -> None:
        stored = "SELECT content FROM environment WHERE device = ?"
        row = self._connection.execute(stored, (device,)).fetchone()
        there = self._environment(row[0]) if row else environment
        for name in MACHINE:
            if there.get(name) != environment.get(name):
                raise UserError(
                    f"{self._path}: device {device} was another machine ({name} {named(there.get(name))}, "
                    f"now {named(environment.get(name))}); give it another name, or use a fresh run folder"
                )

    def _environment(self, content: str) -> dict[str, Any]:
        """A stored machine; numbers that are not finite become None. Raises UserError."""
        try:
            environment: dict[str, Any] = json.loads(content, parse_constant=lambda name: None)
            if not isinstance(environment, dict):
                raise ValueError(f"{shown(environment)} is not a mapping")
        except (ValueError, TypeError, RecursionError) as error:
            raise UserError(f"{self._path}: an environment is damaged ({error})") from error
        return environment

    def append(self, record: Record, environment: int) -> None:
        """Add a measurement and return when it is on the disk; one that is there already stays."""
        with self._transaction():
            self._insert(record, environment)

    def _insert(self, record: Record, environment: int) -> bool:
        """True if the record was added; one already stored stays. Raises HatError for an impossible
        measurement."""
        try:
            check_record(record)
        except ValueError as error:
            raise HatError(f"the measurement of {record.model} is not stored: {error}") from error
        values = [
            json.dumps(value) if name in DOCUMENTS else value
            for name, value in zip(COLUMNS, astuple(record), strict=True)
        ]
        insert = f"INSERT OR IGNORE INTO measurement VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"
        return self._connection.execute(insert, (*values, environment)).rowcount > 0

    def add(
        self, rows: Sequence[tuple[Record, MeasureProtocol, str, Mapping[str, Any]]]
    ) -> tuple[int, int, int]:
        """Add measurements with their protocol, time and environment, all of them or none.

        Returns the numbers of measurements added, already stored, and among the latter different from the
        stored one, which stays. Raises UserError if a device was another machine before.
        """
        added = differ = 0
        with self._transaction() as execute:
            for record, protocol, taken_at, environment in rows:
                if self._insert(record, self._begin(record.device, environment, protocol, taken_at)):
                    added += 1
                else:
                    stored = execute(f"SELECT * FROM measurement WHERE {HAS_KEY}", record.key)
                    differ += self._record(stored.fetchone()) != record
        return added, len(rows) - added, differ

    def remove(self, records: Sequence[Record]) -> None:
        """Remove measurements, so that they are made again."""
        with self._transaction() as execute:
            for record in records:
                execute(f"DELETE FROM measurement WHERE {HAS_KEY}", record.key)

    def series(self, series: str, device: str, protocol: str, reference: str) -> dict[str, Record]:
        """Model → its measurement. Raises UserError for a damaged row, which `discard_damaged` removes."""
        query = "SELECT * FROM measurement WHERE series = ? AND device = ? AND protocol = ? AND reference = ?"
        rows = self._select(query, series, device, protocol, reference)
        return {row[2]: self._record(row) for row in rows}

    def discard_damaged(self, series: str | None = None) -> None:
        """Remove the damaged rows of one series, or of all, so that they are measured again, and damaged
        environments with all measurements in them; each is reported in a warning."""
        with self._transaction() as execute:
            for number, content in execute("SELECT id, content FROM environment").fetchall():
                try:
                    self._environment(content)
                except UserError as error:
                    gone = execute("DELETE FROM measurement WHERE environment = ?", (number,))
                    execute("DELETE FROM environment WHERE id = ?", (number,))
                    log.warning("%s: it is removed with its %d measurements", error, gone.rowcount)
            rows = execute("SELECT rowid, * FROM measurement WHERE ?1 IS NULL OR series = ?1", (series,))
            for number, *row in rows.fetchall():
                try:
                    self._record(row)
                except UserError as error:
                    execute("DELETE FROM measurement WHERE rowid = ?", (number,))
                    log.warning("%s: it is removed, and can be measured again", error)

    def environment(self, series: str, device: str) -> dict[str, Any]:
        """The environment of a series' last measurement. Raises KeyError where there is none."""
        latest = "SELECT max(environment) FROM measurement WHERE series = ? AND device = ?"
        rows = self._select(f"SELECT content FROM environment WHERE id = ({latest})", series, device)
        if not rows:
            raise KeyError(series)
        return self._environment(rows[0][0])

    def rows(self) -> Iterator[dict[str, Any]]:
        """All measurements with protocol and environment, as `export_csv` writes them; damaged ones are left
        out, with a warning."""
        for row in self._select(
            "SELECT m.*, p.content, e.taken_at, e.content FROM measurement m "
            "JOIN protocol p ON p.digest = m.protocol JOIN environment e ON e.id = m.environment "
            "ORDER BY m.rowid"
        ):
            *_, protocol, taken_at, content = row
            try:
                values = {
                    **asdict(self._record(row)),
                    "protocol_content": parse_json(protocol, f"{self._path}: protocol"),
                    "taken_at": taken_at,
                    "environment": self._environment(content),
                }
            except UserError as error:
                log.warning("%s: it is left out", error)
            else:
                yield values

    def _select(self, query: str, *values: str) -> list[Any]:
        with self._errors_explained(HatError, "cannot be read"):
            return self._connection.execute(query, values).fetchall()

    def _record(self, row: Sequence[Any]) -> Record:
        """The record of a row. Raises UserError for a damaged row."""
        cells = zip(COLUMNS, row, strict=False)
        try:
            record = Record(**{n: parse_json(cell, n) if n in DOCUMENTS else cell for n, cell in cells})
            check_record(record)
        except (ValueError, TypeError, AttributeError, UserError) as error:
            raise UserError(
                f"{self._path}: the measurement of {named(row[2])} is damaged ({error})"
            ) from error
        return record

    @contextmanager
    def _transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        """All or nothing; other processes' writers wait. Yields the function that executes a statement."""
        with self._errors_explained(HatError, "cannot be written"):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection.execute
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def _errors_explained(self, kind: type[HatError], problem: str) -> Iterator[None]:
        """Context for statements: converts SQLite's errors to DiskFull, to a UserError without locks, or else
        to `kind` with the `problem`."""
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            if is_full(error) or (name.startswith("SQLITE_IOERR") and has_no_room(self._path.parent)):
                raise DiskFull(f"{self._path}: the disk is full; make room and run it again") from error
            if name in NO_LOCKS:
                raise no_locks(self._path, error) from error
            raise kind(f"{self._path}: {problem} ({error})") from error


def check_record(record: Record, pairs: int | None = None) -> None:
    """Raises ValueError for a number that cannot have been measured, and for rounds that do not fit together
    or do not have `pairs` pairs of lengths."""
    for name in TIMES:
        rounds = getattr(record, name)
        if not isinstance(rounds, list) or not all(
            isinstance(times, list) and all(map(is_time, times)) for times in rounds
        ):
            raise ValueError(f"{name}: expected lists of positive numbers of milliseconds")
    for name in NUMBERS:
        value = getattr(record, name)
        kinds = (int, float) if name == "energy_j" else (int,)
        known = isinstance(value, kinds) and not isinstance(value, bool) and isfinite(value)
        if not (known and 0 <= value < 2**63) and (value is not None or name == "disturbed"):
            raise ValueError(f"{name}: {shown(value)} is not a number of 0 or more")
    pairs = len(record.pairs_ms[0]) if pairs is None and record.pairs_ms else pairs
    if not pairs or set(map(len, (*record.pairs_ms, *record.first_ms))) != {pairs}:
        raise ValueError("a round lacks a time for a pair of lengths, or has more")
    if not 1 <= len(record.first_ms) <= len(record.pairs_ms) == len(record.reference_ms):
        raise ValueError(
            f"{len(record.pairs_ms)} rounds, {len(record.first_ms)} of them of the first step, "
            f"and {len(record.reference_ms)} of the reference do not fit together"
        )
    if not record.reference_ms[0] or len(set(map(len, record.reference_ms))) > 1:
        raise ValueError("the reference was not timed equally often in each round")
