"""Make the vectors of the measurement format anew: ``python -m tests.unit.identity.make_vectors``."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from bannock.identity.settings import normal_settings
from bannock.identity.tree import MeasuredFile, MeasurementTree
from tests.unit.identity.images import contents


def _file(content: bytes) -> MeasuredFile:
    return MeasuredFile(hashlib.sha256(content).digest(), len(content))


_VECTORS = {
    "smallest": MeasurementTree(runtime=bytes(32), program="/app", files={"/app": _file(b"")}, links={}, settings={}),
    "script-with-links": MeasurementTree(
        runtime=hashlib.sha256(b"runtime").digest(),
        program="/app/größe.sh",
        files={
            "/app/größe.sh": _file(b"#!/bin/sh\n"),
            "/usr/bin/dash": _file(b"dash"),
            "/usr/lib/ld.so": _file(b"loader"),
            "/a\U0001f600": _file(b"sorts after /a\ufb33 by bytes, before it by UTF-16"),
            "/a\ufb33": _file(b"x"),
        },
        links={"/bin/sh": "/usr/bin/dash", "/lib64/ld.so": "/usr/lib/ld.so"},
        settings=normal_settings({"SCONE_HEAP": "512M"}),
    ),
    "image": MeasurementTree(
        runtime=hashlib.sha256(b"runtime").digest(),
        program="/usr/bin/python3",
        files={"/usr/bin/python3": _file(b"python")},
        links={},
        images={
            "/lib/libbinary-fs.so": contents(
                {"/python/print_env.py": b"import os\n", "/größe": b""},
                {"/usr/lib/python3/current": "../python3.11"},
                ["/etc/hosts", "/etc/resolv.conf"],
            )
        },
        settings=normal_settings({"SCONE_EXTENSIONS_PATH": ":/lib/libbinary-fs.so"}),
    ),
}


def main() -> None:
    """Write one file for each vector."""
    for name, tree in _VECTORS.items():
        vector = {
            "tree": tree.to_json().decode(),
            "leaves": [leaf.decode() for leaf in tree.leaves()],
            "mrenclave": str(tree.root),
        }
        path = Path(__file__).parent / "vectors" / f"{name}.json"
        path.write_text(json.dumps(vector, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
