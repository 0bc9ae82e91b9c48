"""What was made of a mesh before, where the CAS is not asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bannock.errors import InputError
from bannock.mesh.ledger import Ledger
from bannock.mesh.policies import policies_of
from bannock.mesh.uploading import rolled
from bannock.policy.parse import parse_session
from tests.unit.mesh.meshed import FIRST, SECOND, service, terms

if TYPE_CHECKING:
    from pathlib import Path

    from bannock.mesh.policies import Policy


def _policies(measurement: str) -> tuple[Policy, ...]:
    return policies_of([service(measurements=(measurement,))], terms())


def test_each_version_names_the_one_before(tmp_path: Path) -> None:
    """One that did not change stays the version that it was, with the hash that it had."""
    hashes = []
    for measurement in (FIRST, FIRST, SECOND, SECOND):
        ledger = Ledger.read(tmp_path / "policies")
        numbered = ledger.number(_policies(measurement)[-1], (measurement,))
        session = parse_session(numbered.text, variables=None)
        assert numbered.first == (session.predecessor is None)
        hashes.append((session.digest, session.predecessor))
        ledger.write(tmp_path / "policies")
    first, again, second, once_more = hashes
    assert (first, second) == (again, once_more)
    assert (first[1], second[1]) == (None, first[0])
    assert Ledger.read(tmp_path / "policies").measurements("my/app/pythonapp/pythonservice") == (SECOND,)


def test_a_namespace_has_one_version(tmp_path: Path) -> None:
    """Nothing ever changes in it."""
    ledger = Ledger()
    for _ in range(2):
        assert ledger.number(_policies(FIRST)[0]).first
    ledger.write(tmp_path)
    assert (tmp_path / "ledger.json").stat().st_mode & 0o077 == 0


def test_what_a_cas_has_counts() -> None:
    """A version that was uploaded is the one before the next one."""
    ledger = Ledger()
    policy = _policies(FIRST)[-1]
    ledger.uploaded(policy, "a" * 64, (FIRST,))
    assert parse_session(ledger.number(_policies(SECOND)[-1]).text, variables=None).predecessor == "a" * 64


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2}', '{"version": 1, "sessions": {"a": {"x": 1}}}'])
def test_what_is_no_ledger_is_refused(tmp_path: Path, text: str) -> None:
    """With what to do."""
    path = tmp_path / "ledger.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(InputError, match="is not what sconectl wrote"):
        Ledger.read(tmp_path)


def test_rolling() -> None:
    """The version in force goes on, and none before it; the same version once more changes nothing."""
    assert rolled("a", ()) == ("a",)
    assert rolled("b", ("a",)) == ("b", "a")
    assert rolled("b", ("b", "a")) == ("b", "a")
    assert rolled("c", ("b", "a")) == ("c", "b")
    assert rolled("a", ("b", "a")) == ("a", "b")
