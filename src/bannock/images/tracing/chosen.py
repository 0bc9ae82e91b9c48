"""From an image to the directories of it that are to be protected: one run, or a log of an earlier one."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bannock.errors import InputError
from bannock.identity.measured import start_of
from bannock.images.engine import Engine
from bannock.images.tracing.choice import Choice, choose
from bannock.images.tracing.run import trace
from bannock.images.tracing.strace_log import read_log
from bannock.images.tree import Tree, TreeReader

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from bannock.images.engine_socket import EngineSocket
    from bannock.images.model import Image
    from bannock.images.places import Places

__all__ = ["AUTO", "Chosen", "choose_directories"]

#: In place of the name of a log: run the image.
AUTO: Final = "auto"
_OUTPUT_LINES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What to protect, and how that was found out.

    Attributes:
        choice: the directories, and what stays in clear.
        ended: how the run ended, to be told; empty where there was none.
        warning: why the run may not have shown everything; empty if nothing is known against it.
    """

    choice: Choice
    ended: str = ""
    warning: str = ""


def choose_directories(
    image: Image,
    how: str,
    *,
    binary: str,
    command: Sequence[str] = (),
    covered: Collection[str] = (),
    places: Places,
    engine: EngineSocket,
) -> Chosen:
    """Choose the directories of an image to protect.

    Args:
        image: it is put into the engine for the run, by a name of its own that is taken away afterwards.
        how: ``auto``, or the name of a file with a log of strace that the user made.
        binary: the program that becomes an enclave; what it starts with is measured, and needs no protection.
        command: what is run instead of what the image names.
        covered: directories that are protected anyway.
        places: where images are stored.
        engine: where the image is run.

    Raises:
        InputError: the log cannot be read, or the image has no such program.
        EnvironmentFault: there is no strace, or no engine.
    """
    tree = Tree.of(image)
    measured = start_of(binary, TreeReader(tree)).files
    working_dir = image.config.working_dir or "/"
    if how != AUTO:
        try:
            with Path(how).open("rb") as log:
                accesses = read_log(log, cwd=working_dir)
        except OSError as error:
            raise InputError(
                f"cannot read the log {how}: {error.strerror}",
                hint="--trace takes auto, or a file that strace -o wrote",
            ) from error
        return Chosen(choice=choose(accesses, tree, measured=measured, covered=covered))
    name = f"bannock-trace-{secrets.token_hex(8)}"
    stored = places.store(image, f"docker-daemon:{name}")
    try:
        traced = trace(stored.id, command=command, engine=engine)
    finally:
        Engine(engine).forget(name)
    choice = choose(traced.accesses, tree, measured=measured, covered=covered)
    warning = ""
    if traced.failed:
        last = " | ".join(line for line in traced.output.splitlines()[-_OUTPUT_LINES:] if line.strip())
        warning = f"the traced program {traced.ended}, so what it uses when all is well may be missing: {last[:500]}"
    return Chosen(choice=choice, ended=traced.ended, warning=warning)
