"""A process without rights that asks a LAS, hides its memory, and asks again: ``hidden_asker.py UID``.

Both are children of a program that gave up its rights, so neither may look into the other once it hides.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

from bannock import linux
from bannock.errors import BannockError
from bannock.evidence.las_client import LasClient
from bannock.identity.cas_program import cas_manifest
from bannock.identity.manifest import EnclaveManifest
from bannock.las.service import EmbeddedLas


def main(user: int) -> None:
    """Print what each try led to, a line each."""
    ready, told = os.pipe()
    child = os.fork()
    if child:
        os.close(told)
        _asked(os.read(ready, 4096).decode())
        os.kill(child, signal.SIGKILL)
        return
    # Also if the parent fails.
    linux.die_with_parent(signal.SIGKILL)
    with tempfile.TemporaryDirectory() as directory:
        # Before the rights are gone: the interpreter may be where root alone can read.
        las = EmbeddedLas(Path(directory) / "las")
        _become(user)
        with las:
            os.write(told, las.address.encode())
            signal.pause()


def _become(user: int) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    linux.show_memory()


def _asked(address: str) -> None:
    _become(int(sys.argv[1]))
    manifest = EnclaveManifest(binary="/bin/sh", settings={})
    with LasClient(address, keep=True) as kept:
        first, before = kept.report(manifest, bytes(64))
        linux.hide_memory()
        for what, client, asked in (
            ("kept", kept, manifest),
            ("other manifest", kept, cas_manifest()),
            ("kept again", kept, manifest),
            ("new", LasClient(address), manifest),
        ):
            try:
                evidence, tree = client.report(asked, bytes(64))
            except BannockError as error:
                sys.stdout.write(f"{what}: {type(error).__name__}\n")
            else:
                same = (evidence, tree) == (first, before)
                sys.stdout.write(f"{what}: {'the same report' if same else 'another report'}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
