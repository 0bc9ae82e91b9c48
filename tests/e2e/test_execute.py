"""``bannock execute`` as a user meets it: real trees, both mounts, no rights, no leaks, clear refusals."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sysconfig
from pathlib import Path

import pytest

from tests.e2e import machine

FUSE = pytest.param("fuse", marks=[pytest.mark.fuse, pytest.mark.root])
BOTH_MOUNTS = pytest.mark.parametrize("mount", [FUSE, "memory"])


def execute(user: machine.User, home: Path, source: Path, *more: str, **variables: str) -> dict[str, str]:
    """Run copy_demo (unless told otherwise) and return what the command says of it."""
    arguments = ["execute", "--host", "local", "--input", str(source), "--output", str(home / "out"), "--json", *more]
    if "--application" not in more:
        arguments += ["--application", "copy_demo"]
    done = machine.run(user, arguments, home=home, **variables)
    assert done.returncode == 0, done.stderr
    result: dict[str, str] = json.loads(done.stdout)
    return result


def real_tree(target: Path) -> Path:
    """Make a tree of all that a tree can hold: the standard library, and what is rare in it."""
    shutil.copytree(
        sysconfig.get_path("stdlib"), target, symlinks=True, ignore=shutil.ignore_patterns("site-packages", "test")
    )
    (target / "empty file").touch()
    (target / "empty directory").mkdir()
    (target / "naïve 文件 🥐.txt").write_text("unicode")
    (target / "with  spaces and\nnewline").write_text("spaces")
    (target / "dangling").symlink_to("../nowhere/at all")
    (target / "relative").symlink_to("empty file")
    os.link(target / "os.py", target / "hard link")
    (target / "read only").write_text("read only")
    (target / "read only").chmod(0o444)
    (target / "closed").mkdir(mode=0o750)
    (target / "set").write_text("sticky")
    (target / "set").chmod(0o1711)
    with (target / "large").open("wb") as file:
        block = os.urandom(1 << 20)
        for number in range(101):
            file.write(block)
            file.write(b"%d" % number)
    with (target / "sparse").open("wb") as file:
        file.seek(3 << 20)
        file.write(b"end")
    return target


@BOTH_MOUNTS
@pytest.mark.slow
def test_a_real_tree_comes_back_equal(ourselves: machine.User, home: Path, tmp_path: Path, mount: str) -> None:
    """Thousands of files with odd names, modes, links and sizes are copied by the enclave without a difference."""
    source = real_tree(tmp_path / "tree")
    result = execute(ourselves, home, source, "--mount", mount)
    assert machine.differences(source, home / "out") == []
    assert result["mount"] == mount
    assert result["platform"] == "sim"
    assert result["output_tag_before"] != result["output_tag_after"]


@pytest.mark.slow
def test_a_user_without_rights_runs_it_in_memory(nobody: machine.User, home_of_nobody: Path) -> None:
    """Without root and without /dev/fuse the same command works."""
    home = home_of_nobody
    source = home / "in"
    (source / "below").mkdir(parents=True)
    (source / "f1.txt").write_text("Hello World\n")
    (source / "below/link").symlink_to("../f1.txt")
    result = execute(nobody, home, source, "--mount", "memory")
    assert machine.differences(source, home / "out") == []
    assert result["mount"] == "memory"


def test_what_cannot_be_kept_is_told_before_anything_is_uploaded(
    ourselves: machine.User, home: Path, tmp_path: Path
) -> None:
    """A socket, a pipe and a name that is not UTF-8 are all named, and nothing was made or sent."""
    source = tmp_path / "in"
    source.mkdir()
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(source):
        server.bind("socket")
    Path(os.fsdecode(os.fsencode(source) + b"/bad\xff")).touch()
    done = machine.run(
        ourselves,
        ["execute", "--application", "copy_demo", "--input", str(source), "--output", str(home / "out")],
        home=home,
    )
    assert done.returncode == 2
    for part in ("pipe: a named pipe", "socket: a socket", "bad\\xff: the name is not UTF-8", "nothing was written"):
        assert part in done.stderr
    assert not (home / "out").exists()
    assert list((home / "tmp").iterdir()) == []


CANARY_APPLICATION = """
name: canary
program: bin/show.sh
service: canary
input: inputs
output: outputs
session: session.yaml
"""
CANARY_SESSION = """
name: $SESSION
version: "0.3.10"
security: {attestation: {tolerate: [simulation]}}
secrets:
  - {name: given, kind: ascii, value: $CANARY_SECRET}
services:
  - name: canary
    image_name: canary
    mrenclaves: [$MRENCLAVE]
    command: /app/bin/show.sh
    pwd: /encryptedOutputs
    environment:
      PATH: /usr/bin:/bin
      FROM_SESSION: $CANARY_VARIABLE
      SECRET: $$SCONE::given$$
images:
  - name: canary
    volumes: [{name: inputs, path: /encryptedInputs}, {name: outputs, path: /encryptedOutputs}]
    injection_files:
      - {path: /run/bannock/token, content: "token is $$SCONE::given$$"}
volumes:
  - {name: inputs, fspf_key: $INPUT_FSPF_KEY, fspf_tag: $INPUT_FSPF_TAG}
  - {name: outputs, fspf_key: $OUTPUT_FSPF_KEY, fspf_tag: $OUTPUT_FSPF_TAG}
"""
CANARY_PROGRAM = """#!/bin/sh
cp /encryptedInputs/file copy
printf %s "$FROM_SESSION" > variable
printf %s "$SECRET" > secret
cat /run/bannock/token > token
printf %s "$HOST_VARIABLE" > host
printf %s "$*" > arguments
sleep 1
"""


@BOTH_MOUNTS
def test_canaries_are_found_nowhere(ourselves: machine.User, home: Path, tmp_path: Path, mount: str) -> None:
    """Input, secret and environment reach the application, and no file, database, log or command line on the way."""
    bundle, source = tmp_path / "bundle", tmp_path / "in"
    (bundle / "bin").mkdir(parents=True)
    (bundle / "application.yaml").write_text(CANARY_APPLICATION)
    (bundle / "session.yaml").write_text(CANARY_SESSION)
    (bundle / "bin/show.sh").write_text(CANARY_PROGRAM)
    (bundle / "bin/show.sh").chmod(0o755)
    source.mkdir()
    words = [f"canary-{kind}-{os.urandom(8).hex()}-$HOME" for kind in ("input", "secret", "variable")]
    (source / "file").write_text(words[0] * 10_000)
    encoded = [word.encode() for word in words]
    with machine.Watch(encoded, [home / "tmp", home / ".config", Path("/run/bannock")]) as watch:
        execute(
            ourselves,
            home,
            source,
            *("--application", str(bundle), "--mount", mount, "--env", "CANARY_SECRET", "--env", "CANARY_VARIABLE"),
            CANARY_SECRET=words[1],
            CANARY_VARIABLE=words[2],
            HOST_VARIABLE="from the host",
        )
    out = home / "out"
    assert (out / "copy").read_text() == words[0] * 10_000
    assert (out / "secret").read_text() == words[1]
    assert (out / "variable").read_text() == words[2]
    assert (out / "token").read_text() == f"token is {words[1]}"
    assert (out / "host").read_text() == ""
    assert (out / "arguments").read_text() == ""
    assert watch.found == set()
    assert list((home / "tmp").iterdir()) == []


def test_the_watch_finds_what_is_there(tmp_path: Path) -> None:
    """The search that finds no canary would find one."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/file").write_bytes(b"\0xcanary-1\0")
    with machine.Watch([b"canary-1", b"canary-2"], [tmp_path]) as watch:
        pass
    assert len(watch.found) == 1
