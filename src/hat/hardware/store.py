"""Raw timings on disk: one SQLite file, one row a model, written when the model is done.

Rows hold what the clock said. Correction for drift happens on reading, since it looks at a whole
series. Nothing in a row depends on when or how often measuring was interrupted; times of day, load and
versions are in the environment that each row names. Several processes may write at once.
"""

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, fields
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import Any

from hat.architecture import ModelConfig
from hat.disk import Room, has_no_room, is_full, make_folder, no_locks
from hat.errors import DiskFull, HatError, UserError
from hat.files import digest
from hat.hardware.protocol import MeasureProtocol

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
# A writer waits so long for another's transaction, which is over in milliseconds.
BUSY_SECONDS = 60.0
# What SQLite says where a file cannot be locked, or not be shared between processes.
NO_LOCKS = ("SQLITE_PROTOCOL", "SQLITE_IOERR_LOCK", "SQLITE_IOERR_RDLOCK", "SQLITE_IOERR_SHMLOCK")
# What makes two environments the same machine.
MACHINE = ("cpu", "machine", "cores")


@dataclass(frozen=True)
class Record:
    """One model's raw timings, in milliseconds per sentence.

    `series`: what it was measured for; only one series' rows are compared. `pairs_ms`: for each round
    the model's time at each of the protocol's pairs of lengths. `first_ms`: likewise, for the encoder
    and the first step, in fewer rounds. `reference_ms`: for each round the two times of the reference
    model, means over the pairs. `memory_bytes`: resident memory that loading added. `energy_j`: mean
    energy of a sentence, None where the machine does not tell. `disturbed`: rounds in which other work
    took the core.
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
        """What makes a measurement the same."""
        return self.series, self.device, self.model, self.protocol, self.reference


COLUMNS = tuple(field.name for field in fields(Record))
DOCUMENTS = ("architecture", "pairs_ms", "first_ms", "reference_ms")


def model_key(config: ModelConfig) -> str:
    """Twelve hexadecimal digits for what decides a model's latency."""
    return digest(asdict(config))[:12]


def _insert(connection: sqlite3.Connection, record: Record, environment: int) -> bool:
    """Whether it was added; one that is there already stays."""
    values = [json.dumps(v) if n in DOCUMENTS else v for n, v in zip(COLUMNS, astuple(record), strict=True)]
    places = ", ".join("?" * (len(COLUMNS) + 1))
    done = connection.execute(f"INSERT OR IGNORE INTO measurement VALUES ({places})", (*values, environment))
    return done.rowcount > 0


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
        """SQLite waits for other writers, but not for others that open a new file at the same time."""
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
        with self._transaction() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, SCHEMA):
                raise UserError(
                    f"{self._path}: a store of version {version}; this version of hat reads {SCHEMA}"
                )
            if version == 0:
                for statement in TABLES.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={SCHEMA}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def begin(self, device: str, environment: Mapping[str, Any], protocol: MeasureProtocol) -> int:
        """Record machine and protocol before anything is measured; the environment's number.

        Raises UserError where `device` was another machine before.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._transaction() as connection:
            return self._begin(connection, device, environment, protocol, now)

    def _begin(
        self,
        connection: sqlite3.Connection,
        device: str,
        environment: Mapping[str, Any],
        protocol: MeasureProtocol,
        taken_at: str,
    ) -> int:
        self._check_machine(connection, device, environment)
        content = json.dumps(protocol.to_dict())
        connection.execute("INSERT OR IGNORE INTO protocol VALUES (?, ?)", (protocol.digest(), content))
        row = (device, taken_at, json.dumps(dict(environment)))
        same = connection.execute(
            "SELECT id FROM environment WHERE device = ? AND taken_at = ? AND content = ?", row
        ).fetchone()
        if same:
            return int(same[0])
        made = connection.execute("INSERT INTO environment (device, taken_at, content) VALUES (?, ?, ?)", row)
        return int(made.lastrowid or 0)

    def _check_machine(
        self, connection: sqlite3.Connection, device: str, environment: Mapping[str, Any]
    ) -> None:
        row = connection.execute("SELECT content FROM environment WHERE device = ?", (device,)).fetchone()
        there = json.loads(row[0]) if row else environment
        for name in MACHINE:
            if there.get(name) != environment.get(name):
                raise UserError(
                    f"{self._path}: device {device} was another machine ({name} {there.get(name)}, "
                    f"now {environment.get(name)}); give it another name, or use a fresh run folder"
                )

    def append(self, record: Record, environment: int) -> None:
        """Add a measurement and return when it is on the disk; one that is there already stays."""
        with self._transaction() as connection:
            _insert(connection, record, environment)

    def add(
        self, rows: Sequence[tuple[Record, MeasureProtocol, str, Mapping[str, Any]]]
    ) -> tuple[int, int, int]:
        """Add measurements with their protocol, time and environment, all of them or none.

        Returns how many were added, how many were there already, and how many of those differ from
        what is there, which stays. Raises UserError where a device was another machine before.
        """
        added = differ = 0
        with self._transaction() as connection:
            for record, protocol, taken_at, environment in rows:
                place = self._begin(connection, record.device, environment, protocol, taken_at)
                new = _insert(connection, record, place)
                added += new
                differ += not new and self._stored(connection, record) != record
        return added, len(rows) - added, differ

    def _stored(self, connection: sqlite3.Connection, like: Record) -> Record:
        """The measurement that has the key of `like`."""
        row = connection.execute(
            "SELECT * FROM measurement WHERE series = ? AND device = ? AND model = ? AND protocol = ? "
            "AND reference = ?",
            like.key,
        ).fetchone()
        return self._record(row)

    def series(self, series: str, device: str, protocol: str, reference: str) -> dict[str, Record]:
        """Model → its measurement. Raises UserError for a damaged row."""
        with self._errors_explained(HatError, "cannot be read"):
            rows = self._connection.execute(
                "SELECT * FROM measurement "
                "WHERE series = ? AND device = ? AND protocol = ? AND reference = ?",
                (series, device, protocol, reference),
            ).fetchall()
        return {row[2]: self._record(row) for row in rows}

    def environment(self, series: str, device: str) -> dict[str, Any]:
        """The environment of a series' last measurement. Raises KeyError where there is none."""
        with self._errors_explained(HatError, "cannot be read"):
            row = self._connection.execute(
                "SELECT content FROM environment WHERE id = (SELECT max(environment) FROM measurement "
                "WHERE series = ? AND device = ?)",
                (series, device),
            ).fetchone()
        if row is None:
            raise KeyError(series)
        return dict(json.loads(row[0]))

    def rows(self) -> Iterator[dict[str, Any]]:
        """All measurements with their protocol and environment, as `measurement_csv` writes them."""
        with self._errors_explained(HatError, "cannot be read"):
            rows = self._connection.execute(
                "SELECT m.*, p.content, e.taken_at, e.content FROM measurement m "
                "JOIN protocol p ON p.digest = m.protocol JOIN environment e ON e.id = m.environment "
                "ORDER BY m.rowid"
            ).fetchall()
        for row in rows:
            record = self._record(row)
            *_, protocol, taken_at, content = row
            yield {
                **asdict(record),
                "protocol_content": json.loads(protocol),
                "taken_at": taken_at,
                "environment": json.loads(content),
            }

    def _record(self, row: tuple[Any, ...]) -> Record:
        try:
            values = {n: json.loads(v) if n in DOCUMENTS else v for n, v in zip(COLUMNS, row, strict=False)}
            for name in DOCUMENTS[1:]:
                check_times(values[name])
        except ValueError as error:
            raise UserError(f"{self._path}: the measurement of {row[2]} is damaged ({error})") from error
        return Record(**values)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; other processes' writers wait."""
        with self._errors_explained(HatError, "cannot be written"):
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def _errors_explained(self, kind: type[HatError], problem: str) -> Iterator[None]:
        """Around statements: SQLite's errors as DiskFull, a UserError where there are no locks, or else as
        `kind` with the `problem`."""
        try:
            yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            if is_full(error) or (name.startswith("SQLITE_IOERR") and has_no_room(self._path.parent)):
                raise DiskFull(f"{self._path}: the disk is full; make room and run it again") from error
            if name in NO_LOCKS:
                raise no_locks(self._path, error) from error
            raise kind(f"{self._path}: {problem} ({error})") from error


def check_times(rounds: object) -> None:
    """Raises ValueError where these are not rounds of times."""
    if not isinstance(rounds, list) or not all(
        isinstance(one, list) and all(isinstance(t, int | float) and 0 < t < inf for t in one)
        for one in rounds
    ):
        raise ValueError("expected lists of positive numbers of milliseconds")
