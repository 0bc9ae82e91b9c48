"""What is written down of runs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bannock.errors import ConflictError, InputError, NotFoundError, PeerError
from bannock.execution.container_job import ContainerJob, ContainerOutcome
from bannock.execution.runs.book import RunBook
from bannock.execution.runs.record import RunRecord, RunSecrets, State
from bannock.values import FspfKey

if TYPE_CHECKING:
    from pathlib import Path

_RECORD = RunRecord(
    name="demo-1", made="2026-11-21T20:00:00+00:00", host="caroline", application="image", image="sha256:00",
    title="demo",
    program="/bin/sh", service="app", input_volume="in", output_volume="out", input="/in", output="/out",
    cas=("cas:8081", "cas:18765", "key"), failure=("one", "two"), source={"kind": "placed"},
)  # fmt: skip
_SECRETS = RunSecrets(
    template="name: x", variables={"A": "canary"}, sessions=("s",), input_key=FspfKey(bytes(32)), output_key=None
)


def test_records_come_back() -> None:
    """What is read is what was written."""
    assert RunRecord.from_json(_RECORD.to_json(), "it") == _RECORD
    found = RunSecrets.from_json(_SECRETS.to_json().reveal(), "it")
    assert found.variables == {"A": "canary"}
    assert found.input_key is not None
    assert found.output_key is None


def test_secrets_are_not_shown() -> None:
    """Neither a value nor the template is in what a log would show."""
    assert "canary" not in repr(_SECRETS)
    assert "name: x" not in repr(_SECRETS)
    assert "canary" not in repr(_SECRETS.to_json())


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"state": "elsewhere"},
        {"surprise": 1},
        {"cas": 1},
    ],
)
def test_records_that_are_none_are_refused(change: dict[str, object]) -> None:
    """A record of another version, or changed by hand, is an error that says which one."""
    document = {**json.loads(_RECORD.to_json()), **change}
    with pytest.raises(InputError, match="the record"):
        RunRecord.from_json(json.dumps(document).encode(), "the record")


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"version": 1}'])
def test_other_documents_are_refused(data: bytes) -> None:
    """Neither records nor keys are taken from what is none."""
    with pytest.raises(InputError):
        RunRecord.from_json(data, "the record")
    with pytest.raises(InputError):
        RunSecrets.from_json(data, "the keys")


def test_runs_are_kept_until_they_are_forgotten(private_path: Path) -> None:
    """A run is found, with its changes, by the next process; files are private; what is forgotten is gone."""
    book = RunBook(private_path)
    with book.begin(_RECORD, _SECRETS) as run:
        run.change(state=State.UPLOADED)
    assert [record.state for record in book.all()] == [State.UPLOADED]
    assert all(path.stat().st_mode & 0o077 == 0 for path in private_path.rglob("*"))
    with book.open("demo-1") as run:
        assert run.secrets.variables == {"A": "canary"}
        run.forget()
    assert book.all() == []
    with pytest.raises(NotFoundError, match="there is no run demo-1"), book.open("demo-1"):
        pass


def test_one_process_works_on_a_run(private_path: Path) -> None:
    """Whoever else wants it is told."""
    book = RunBook(private_path)
    with book.begin(_RECORD, _SECRETS):
        assert book.is_busy("demo-1")
        with pytest.raises(ConflictError, match="another process works on run demo-1"), book.open("demo-1"):
            pass
    assert not book.is_busy("demo-1")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 200])
def test_names_lead_nowhere_else(private_path: Path, name: str) -> None:
    """A name is one of a run, and no path."""
    with pytest.raises(InputError, match="a run is named as"):
        RunBook(private_path).read(name)


def test_states_are_in_order() -> None:
    """A run goes through them from the first to the last."""
    assert [state.rank for state in State] == list(range(7))


def test_jobs_come_back() -> None:
    """A container reads what its client wrote."""
    job = ContainerJob(run="r", program="/bin/sh", input={"kind": "x"}, output=None, grant=None, seconds=1.5)
    assert ContainerJob.from_json(job.to_json()) == job


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"version": 2}', b"\xff", b"[" * 100_000])
def test_other_jobs_and_outcomes_are_refused(data: bytes) -> None:
    """Neither side takes what is none."""
    with pytest.raises(InputError):
        ContainerJob.from_json(data)
    with pytest.raises(PeerError):
        ContainerOutcome.from_json(data)


def test_outcomes_are_bounded() -> None:
    """What a host says is cut to what one reads, and a code is one of a program."""
    outcome = ContainerOutcome(
        exit_code=0, ran=True, log="x" * 1_000_000, error=("y" * 10_000,) * 1000, pushed={"a": 1}
    )
    found = ContainerOutcome.from_json(outcome.to_json())
    assert len(found.log) == 64 << 10
    assert len(found.error) == 100
    assert len(found.error[0]) == 2000
    assert ContainerOutcome.from_json(replace(outcome, exit_code=1 << 40).to_json()).exit_code == 0
    assert found.pushed == {"a": 1}
