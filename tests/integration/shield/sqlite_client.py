"""A process that writes to or reads from an SQLite database: ``python -m tests.integration.shield.sqlite_client``.

Accounts exchange amounts, so that their sum is always the same, and each exchange is a row of its own. The writer says
the number of each row when its transaction is committed. Readers say how often they looked; they end when there is no
more to read for them.
"""

from __future__ import annotations

import random
import select
import sqlite3
import sys
import time
from contextlib import closing
from typing import Final

__all__ = ["ACCOUNTS", "check", "main", "prepare"]

ACCOUNTS: Final = 200
_PATIENCE_SECONDS: Final = 30


def prepare(path: str, journal: str) -> None:
    """Make the tables."""
    with closing(_open(path, journal)) as database:
        database.executescript("""
            CREATE TABLE account (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL);
            CREATE TABLE exchange (id INTEGER PRIMARY KEY, one INTEGER, other INTEGER, amount INTEGER, note BLOB);
            CREATE INDEX by_note ON exchange (note);
        """)
        database.execute("BEGIN")
        database.executemany("INSERT INTO account VALUES (?, 0)", [(number,) for number in range(ACCOUNTS)])
        database.execute("COMMIT")


def check(path: str, journal: str) -> int:
    """See that a database is whole, and return how many exchanges there are."""
    with closing(_open(path, journal)) as database:
        found = database.execute("PRAGMA integrity_check").fetchall()
        assert found == [("ok",)], found
        return _look(database)


def _open(path: str, journal: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None)
    # FULL does not make the removal of a journal durable, which is the commit where journals are removed.
    # FULL does not make the removal of a journal durable, which is the commit where journals are removed.
    database.execute("PRAGMA synchronous=EXTRA")
    # Every connection chooses anew, save for WAL.
    assert database.execute(f"PRAGMA journal_mode={journal}").fetchone()[0] == journal
    return database


def _look(database: sqlite3.Connection) -> int:
    """Compare what has to be equal in every transaction; return the number of exchanges."""
    database.execute("BEGIN")
    count, last = database.execute("SELECT count(*), coalesce(max(id), 0) FROM exchange").fetchone()
    assert count == last, "a row is missing"
    assert database.execute("SELECT count(*), sum(amount) FROM account").fetchone() == (ACCOUNTS, 0)
    flow = "SELECT coalesce(sum(amount), 0) FROM exchange WHERE one = 7"
    back = "SELECT coalesce(sum(amount), 0) FROM exchange WHERE other = 7"
    amount = database.execute("SELECT amount FROM account WHERE id = 7").fetchone()[0]
    assert amount == database.execute(back).fetchone()[0] - database.execute(flow).fetchone()[0]
    database.execute("COMMIT")
    return int(count)


def _write(database: sqlite3.Connection, generator: random.Random, pause: float) -> None:
    while True:
        time.sleep(pause)
        one, other = generator.sample(range(ACCOUNTS), 2)
        amount, note = generator.randint(1, 1000), generator.randbytes(generator.choice([10, 100, 5000]))
        database.execute("BEGIN IMMEDIATE")
        database.execute("UPDATE account SET amount = amount - ? WHERE id = ?", (amount, one))
        database.execute("UPDATE account SET amount = amount + ? WHERE id = ?", (amount, other))
        row = database.execute(
            "INSERT INTO exchange (one, other, amount, note) VALUES (?, ?, ?, ?)", (one, other, amount, note)
        ).lastrowid
        if generator.random() < 0.1:
            database.execute("ROLLBACK")
        else:
            database.execute("COMMIT")
            print(row, flush=True)  # noqa: T201 # its answer


def _read(database: sqlite3.Connection) -> None:
    looks = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        _look(database)
        looks += 1
    print(looks)  # noqa: T201 # its answer


def main(role: str, path: str, journal: str, seed: int) -> int:
    """Write until the database is gone, or read until there is no more to do."""
    with closing(_open(path, journal)) as database:
        if role == "read":
            _read(database)
        else:
            # Who never pauses leaves the readers hardly a moment to look.
            _write(database, random.Random(seed), 0.01 if role == "write gently" else 0)  # noqa: S311 # repeatable
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
