"""A process that asks a LAS for a report of itself and prints the answer: ``asker.py ADDRESS MANIFEST [UID]``.

A program of its own, so that it can run in other namespaces and as other users than the tests.
"""

from __future__ import annotations

import json
import os
import sys

from bannock.errors import BannockError
from bannock.evidence.las_client import LasClient
from bannock.identity.manifest import EnclaveManifest


def main(address: str, manifest: str, user: str = "") -> None:
    """Ask, and print the measurement tree, or the kind, text and hint of the error."""
    client, parsed = LasClient(address), EnclaveManifest.from_json(manifest.encode())
    if user:
        os.setgroups([])
        os.setresgid(int(user), int(user), int(user))
        os.setresuid(int(user), int(user), int(user))
    try:
        _, tree = client.report(parsed, bytes(64))
    except BannockError as error:
        sys.stdout.write(json.dumps({"error": type(error).__name__, "message": str(error), "hint": error.hint}))
    else:
        sys.stdout.write(json.dumps({"mrenclave": str(tree.root), "tree": json.loads(tree.to_json())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
