"""The tables of the store. Their columns hold HMACs, numbers and sealed values, nothing that can be read.

A change here needs a migration (:mod:`bannock.cas.migrations`).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table

__all__ = [
    "METADATA",
    "SCHEMA_VERSION",
    "attestations",
    "audit",
    "audit_head",
    "counters",
    "fspfs",
    "instances",
    "keys",
    "quotes",
    "schema",
    "secret_values",
    "sessions",
    "settings",
    "slots",
    "volumes",
]

#: What programs from before there were migrations look at; the schema's own number is that of its last migration.
SCHEMA_VERSION: Final = 2

METADATA: Final = MetaData()

#: SQLite takes numbers of 64 bits under either name, and finds rows by it faster under this one.
_Number: Final = BigInteger().with_variant(Integer, "sqlite")

#: One row: the version of the schema.
schema: Final = Table("schema_version", METADATA, Column("version", Integer, primary_key=True))

#: The keys of the CAS itself, sealed under the master key.
keys: Final = Table(
    "keys",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

#: Every version of every session; the newest has the highest generation.
sessions: Final = Table(
    "sessions",
    METADATA,
    Column("session", LargeBinary(32), primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
Index("sessions_by_digest", sessions.c.session, sessions.c.digest)

#: The values of each session's secrets.
secret_values: Final = Table(
    "secret_values",
    METADATA,
    Column("session", LargeBinary(32), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

#: The state that each volume is in.
volumes: Final = Table(
    "volumes",
    METADATA,
    Column("session", LargeBinary(32), primary_key=True),
    Column("volume", LargeBinary(32), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

#: The state that the main protection file of each service is in.
fspfs: Final = Table(
    "fspfs",
    METADATA,
    Column("session", LargeBinary(32), primary_key=True),
    Column("service", LargeBinary(32), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

#: What was used of the one-time passwords of each shared secret.
one_time_passwords: Final = Table(
    "one_time_passwords",
    METADATA,
    Column("secret", LargeBinary(32), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

#: The starts of enclaves that have had a configuration.
instances: Final = Table(
    "instances",
    METADATA,
    Column("instance", LargeBinary(32), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

#: Quotes that services were let in by, with what vouched for them: each once, however many services rest on it.
quotes: Final = Table(
    "quotes",
    METADATA,
    Column("quote", LargeBinary(32), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

#: The last evidence of each service on each machine, without its quote.
attestations: Final = Table(
    "attestations",
    METADATA,
    Column("attestation", LargeBinary(32), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

#: The audit log, an entry a row.
audit: Final = Table(
    "audit",
    METADATA,
    Column("sequence", _Number, primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
)

#: Number and link of the newest entry, entries that the sink did not take, and how the log is written.
audit_head: Final = Table(
    "audit_head",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    # What each row is sealed for, where it is not the primary key.
    info={"rows": {1: b"head", 2: b"dropped", 3: b"config"}},
)

#: Numbers that only grow: that of the changes, and those that counters outside the database stood at.
counters: Final = Table(
    "counters",
    METADATA,
    Column("name", String(96), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

#: What the CAS keeps of itself beside its keys: its owner, for example.
settings: Final = Table(
    "settings",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)

#: The keys of the CAS, encrypted for each machine that may take over its database.
slots: Final = Table(
    "slots",
    METADATA,
    Column("slot", LargeBinary(32), primary_key=True),
    Column("key", LargeBinary(32), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
)
