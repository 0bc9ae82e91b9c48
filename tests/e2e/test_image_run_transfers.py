"""Runs of an image whose inputs and outputs go every way that there is, each carried by the container itself."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from tests.e2e import machine
from tests.integration.execution.backends import S3Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.containers import Engine
    from tests.curated_images import CuratedImages

pytestmark = [pytest.mark.docker, pytest.mark.fuse, pytest.mark.root]

_CANARY: Final = b"a canary that sings"
#: Two parts and some.
_LARGE_BYTES: Final = (33 << 20) + 5


@pytest.fixture(params=["transfer.sh", "s3", "dir"])
def way(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Mapping[str, str], Path]]:
    """Each service in turn: what a user names, what a user has set, and where it keeps what it gets."""
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o700)
    match request.param:
        case "transfer.sh":
            with serving(kept) as url:
                yield url, {}, kept
        case "s3":
            with S3Server(kept) as server:
                server.bucket("bucket")
                yield "s3://bucket/prefix", server.environment(), kept
        case _:
            yield f"dir:{kept}", {}, kept


def test_run_by_a_service(
    way: tuple[str, Mapping[str, str], Path], engine: Engine, curated: CuratedImages, tmp_path: Path
) -> None:
    """Outputs come back as the application made them, and the service has nothing any more."""
    transfer, variables, kept = way
    source, target = tmp_path / "inputs", tmp_path / "outputs"
    source.mkdir()
    (source / "large").write_bytes(os.urandom(_LARGE_BYTES))
    (source / "patients.csv").write_bytes(_CANARY * 1000)
    words = ("execute", "--application", curated.of("copy_demo"), "--host", "local", "--transfer", transfer)
    done = subprocess.run(
        machine.ourselves().command(
            *words, "--input", str(source), "--output", str(target), "--conf", str(tmp_path / "conf")
        ),
        env={**engine.environment, **variables, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {
        path.name: path.read_bytes() for path in source.iterdir()
    }
    assert [path for path in kept.rglob("*") if path.is_file()] == []
