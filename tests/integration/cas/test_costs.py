"""What an operation costs does not grow with what is stored: no statement looks through a table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

from bannock.cas import Cas
from bannock.cas.commits import ATTESTED, Attested, Held, Step
from bannock.net.peer import Peer
from bannock.policy import UpdatePolicy
from bannock.values import FspfTag, KeyHash
from tests.unit.cas.documents import document

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.cas import CasConfig

_ALICE = KeyHash(b"a" * 32)
_MAIN = f"fspf_path: /main.fspf\n    fspf_key: {'aa' * 32}\n    fspf_tag: {'74' * 16}"


def _tag(number: int) -> FspfTag:
    return FspfTag(number.to_bytes(16, "big"))


def _operate(cas: Cas) -> None:
    """Everything that clients and enclaves do with the store."""
    first = cas.sessions.post(document(fspf=_MAIN), _ALICE)
    second = cas.sessions.post(document(predecessor=first, fspf=_MAIN, variable="two"), _ALICE)
    assert cas.sessions.read("demo", _ALICE).digest == second
    assert cas.sessions.read("demo", _ALICE, digest=first).digest == first
    cas.reading.values("demo")
    cas.reading.volume_tag("demo", "output", _ALICE)
    held = Held(since=1, update_policy=UpdatePolicy.ROLLBACK_PROTECTED)
    main = Held(since=1, update_policy=UpdatePolicy.NO_ROLLBACK_PROTECTION)
    peer = Peer(state={ATTESTED: Attested(session="demo", service="app", volumes={"output": held}, fspf=main)})
    cas.commits.volumes(peer, [Step(volume="output", expected=None, tag=_tag(1))])
    cas.commits.volume(peer, "output", _tag(1), _tag(2))
    cas.commits.fspf(peer, None, _tag(3))


def _recorded(cas: Cas, operate: Callable[[Cas], None]) -> list[tuple[str, Any]]:
    """Every statement of what is done, with its parameters."""
    statements: list[tuple[str, Any]] = []

    def record(*call: Any) -> None:
        _, _, statement, parameters, _, many = call
        statements.append((statement, parameters[0] if many else parameters))

    backend = cas.store._backend
    for engine in (backend.readers, backend.writers):
        event.listen(engine, "before_cursor_execute", record)
    try:
        operate(cas)
    finally:
        for engine in (backend.readers, backend.writers):
            event.remove(engine, "before_cursor_execute", record)
    return statements


def _plan(cas: Cas, statement: str, parameters: Any) -> str:
    backend = cas.store._backend
    with backend.writers.connect() as connection, connection.begin():
        if backend.is_shared:
            # On tables of few rows looking through them would be right.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN" if backend.is_shared else "EXPLAIN QUERY PLAN"
        rows = connection.exec_driver_sql(f"{explain} {statement}", parameters)
        return "\n".join(str(row[-1]) for row in rows)


def test_no_operation_looks_through_a_table(config: CasConfig) -> None:
    """Each statement finds its rows by an index, whatever else there is."""
    with Cas(config) as cas:
        statements = _recorded(cas, _operate)
        looked = 0
        for statement, parameters in statements:
            if not re.match(r"(SELECT|UPDATE|DELETE|INSERT) ", statement) or "pg_advisory" in statement:
                continue
            if "pg_catalog" in statement or "sqlite_master" in statement:
                continue
            if "FROM audit_head" in statement and "WHERE" not in statement:
                continue  # has three rows at most
            plan = _plan(cas, statement, parameters)
            assert not re.search(r"^SCAN |Seq Scan", plan, flags=re.MULTILINE), f"{statement}\n{plan}"
            assert "TEMP B-TREE" not in plan, f"{statement}\n{plan}"
            looked += 1
        assert looked > 40


def test_an_operation_takes_as_many_statements_with_much_stored_as_with_little(config: CasConfig) -> None:
    """And not one more for each version of a session, each session, or each entry of the log."""

    def read(cas: Cas) -> None:
        cas.sessions.read("demo", _ALICE)
        cas.reading.values("demo")
        with cas.store.changing() as change:
            change.put_volumes("demo", change.volumes("demo", ["output"]))

    with Cas(config) as cas:
        digest = cas.sessions.post(document(), _ALICE)
        few = len(_recorded(cas, read))
        for number in range(30):
            cas.sessions.post(document(f"other-{number}"), _ALICE)
            digest = cas.sessions.post(document(predecessor=digest, variable=str(number)), _ALICE)
        assert len(_recorded(cas, read)) == few
