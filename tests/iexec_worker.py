"""A worker of iExec, as far as an application sees one.

What it does is what iExec documents and its worker's sources show (``AppComputeService``, ``IexecEnvUtils``,
``ComputedFile``; docs.iex.ec, "Application I/O"): it fetches the input files of a task into one directory, starts the
image with the arguments of the order, mounts that directory at ``/iexec_in`` and an empty one at ``/iexec_out``, and
expects the exit code 0 and ``computed.json``, which names the result. The result of a task is all of ``/iexec_out``.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.containers import Engine

__all__ = ["Task", "Worker"]

_IN: Final = PurePosixPath("/iexec_in")
_OUT: Final = PurePosixPath("/iexec_out")


@dataclass(frozen=True)
class Task:
    """What came of a task.

    Attributes:
        succeeded: whether there is a result.
        result: the file that its requester fetches.
        digest: by which workers agree on a result.
        log: what the application printed.
    """

    succeeded: bool
    result: Path
    digest: str
    log: str


@dataclass(frozen=True)
class Worker:
    """Runs tasks.

    Attributes:
        engine: where applications run.
        directory: for tasks.
        options: what the operator of the worker gives containers: devices, the LAS, the network.
    """

    engine: Engine
    directory: Path
    options: Sequence[str]

    def run(self, app: Mapping[str, Any], params: Mapping[str, Any], image: str) -> Task:
        """Run a task.

        Args:
            app: as it is registered.
            params: of the request order.
            image: what the engine calls ``app.multiaddr``.
        """
        assert app["type"] == "DOCKER"
        assert set(app["mrenclave"]) == {"framework", "version", "entrypoint", "heapSize", "fingerprint"}
        task = f"0x{secrets.token_hex(32)}"
        place = self.directory / task
        inputs, outputs = place / "input", place / "output" / "iexec_out"
        for directory in (inputs, outputs):
            directory.mkdir(parents=True)
        files = [self._fetched(url, inputs) for url in params.get("iexec_input_files", [])]
        environment = {
            "IEXEC_TASK_ID": task,
            "IEXEC_IN": str(_IN),
            "IEXEC_OUT": str(_OUT),
            "IEXEC_DATASET_ADDRESS": "0x0000000000000000000000000000000000000000",
            "IEXEC_DATASET_FILENAME": "",
            "IEXEC_BOT_SIZE": "1",
            "IEXEC_BOT_FIRST_INDEX": "0",
            "IEXEC_BOT_TASK_INDEX": "0",
            "IEXEC_INPUT_FILES_NUMBER": str(len(files)),
            "IEXEC_INPUT_FILES_FOLDER": str(_IN),
            **{f"IEXEC_INPUT_FILE_NAME_{index}": name for index, name in enumerate(files, 1)},
            "SCONE_HEAP": str(app["mrenclave"]["heapSize"]),
        }
        words = [word for name, value in environment.items() for word in ("-e", f"{name}={value}")]
        mounts = ["-v", f"{inputs}:{_IN}", "-v", f"{outputs}:{_OUT}"]
        arguments = str(params.get("iexec_args", "")).split()
        done = self.engine.in_container(image, *arguments, options=[*words, *mounts, *self.options], check=False)
        return self._concluded(done.returncode, outputs, place / "result.zip", done.stdout + done.stderr)

    @staticmethod
    def _fetched(url: str, directory: Path) -> str:
        name = PurePosixPath(urlsplit(url).path).name
        curl = ["/usr/bin/curl", "-sSfL", "--noproxy", "*", "--output", str(directory / name), url]
        subprocess.run(curl, check=True, timeout=60)
        return name

    @staticmethod
    def _concluded(code: int, outputs: Path, result: Path, log: str) -> Task:
        computed = outputs / "computed.json"
        if code != 0 or not computed.is_file():
            return Task(succeeded=False, result=result, digest="", log=log)
        path = PurePosixPath(json.loads(computed.read_text())["deterministic-output-path"])
        there = outputs / path.relative_to(_OUT)
        if not there.is_file():
            return Task(succeeded=False, result=result, digest="", log=log)
        with zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(outputs.rglob("*")):
                archive.write(file, file.relative_to(outputs))
        return Task(succeeded=True, result=result, digest=hashlib.sha256(there.read_bytes()).hexdigest(), log=log)
