"""Databases of a CAS that tests make, and attack."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg

from bannock.cas import CasConfig
from bannock.values import Secret

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.shield.postgresql import Server

__all__ = ["execute", "postgresql_place"]


def postgresql_place(server: Server, name: str, directory: Path) -> CasConfig:
    """Describe a CAS whose database is on a server, and whose files are in a directory."""
    directory.mkdir(mode=0o700, exist_ok=True)
    files = CasConfig.in_directory(directory)
    url = Secret(f"postgresql://postgres@/{name}?host={server.base}".encode())
    return CasConfig(database=files.database, master_key=files.master_key, postgresql=url)


def execute(config: CasConfig, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Do something to a database behind the back of its CAS; a parameter is written as ``?``."""
    if config.postgresql is None:
        with closing(sqlite3.connect(config.database)) as connection, connection:
            return connection.execute(statement, parameters).fetchall()
    with psycopg.connect(config.postgresql.reveal().decode()) as server:
        cursor = server.execute(statement.replace("?", "%s"), parameters)
        return cursor.fetchall() if cursor.description else []
