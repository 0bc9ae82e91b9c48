"""The demonstration: an honest run, and attacks that are really made."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from bannock.execution.application import load_application
from bannock.execution.demonstration import demonstrate
from bannock.execution.execute import Client
from bannock.execution.progress import Silent
from bannock.execution.services import Wanted, client_identity, open_services
from bannock.runtime.settings import Mount

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from bannock.execution.progress import Stage

_FUSE = pytest.param(Mount.FUSE, marks=[pytest.mark.fuse, pytest.mark.root])


class _NoNotes:
    """Shows nothing, and does not expect to be told of anything unusual."""

    def stage(self, title: str, total: int | None = None) -> AbstractContextManager[Stage]:
        return Silent(self).stage(title, total)

    def note(self, text: str) -> None:
        raise AssertionError(text)


@pytest.mark.parametrize("mount", [_FUSE, Mount.MEMORY])
def test_demonstration_holds(private_path: Path, tmp_path: Path, mount: Mount) -> None:
    """The output is right, the host saw ciphertext, all three attacks are refused, each by its own error."""
    conf = private_path / "conf"
    with open_services(conf, Wanted()) as services:
        client = Client(identity=client_identity(conf), services=services, progress=_NoNotes(), random=os.urandom)
        shown = demonstrate(
            client, load_application("copy_demo"), scratch=private_path, output=tmp_path / "out", mount=mount
        )
    assert shown.holds
    assert shown.decrypted == b"Hello World\n"
    assert shown.result.outcome.record.mrenclave == str(shown.result.expected)
    assert shown.result.outcome.record.before[shown.plan.application.output_volume] == str(shown.result.output_before)
    assert shown.result.outcome.record.after[shown.plan.application.output_volume] == str(shown.result.output_after)
    told = ["\n".join(attempt.told) for attempt in shown.attempts]
    assert "f1.txt" in told[0]
    assert "sealed data is not authentic" in told[0]
    assert "Unexpected enclave measurement (MRENCLAVE" in told[1]
    assert "/app/bin/copy_demo changed" in told[1]
    assert "expected state" in told[2]
    assert not list((private_path / "host" / "runs").iterdir())

    failed = replace(shown, attempts=(replace(shown.attempts[0], refused=False), *shown.attempts[1:]))
    assert not failed.holds
    assert not replace(shown, decrypted=b"").holds
