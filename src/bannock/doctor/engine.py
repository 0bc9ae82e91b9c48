"""The container engine, and the programs that some commands start."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from bannock.doctor.finding import Finding, State
from bannock.errors import BannockError
from bannock.execution.hosts import check
from bannock.execution.hosts.facts import engine_of
from bannock.execution.hosts.here import LocalMachine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bannock.execution.hosts.facts import EngineFacts

__all__ = ["look_at_engine", "look_at_programs"]

#: Program → what starts it, and the package of Debian that has it.
_PROGRAMS: Final[Mapping[str, tuple[str, str]]] = {
    "docker": ("images by hand", "docker.io"),
    "ssh": ("runs on other hosts", "openssh-client"),
    "strace": ("sconify_image --trace auto", "strace"),
    "dot": ("scone session explain --format svg", "graphviz"),
    "helm": ("charts", ""),
    "kubectl": ("clusters", ""),
}


def look_at_engine(environment: Mapping[str, str], machine: str) -> Iterator[Finding]:
    """Ask the engine. Nothing but images and containers needs one.

    Args:
        environment: where ``DOCKER_HOST`` may name its socket.
        machine: what ``uname -m`` says.
    """
    try:
        facts: EngineFacts | BannockError = engine_of(LocalMachine(environment, ""))
    except BannockError as error:
        facts = error
    for found in check.judge_engine(facts, machine):
        good = found.state is check.State.OK
        yield Finding.judged(
            found.what,
            found.found if good else f"{found.found} (images and containers need it)",
            good=good,
            hint=found.hint,
        )


def look_at_programs(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Look for programs of others, each of which a few commands need."""
    there = [name for name in _PROGRAMS if shutil.which(name, path=environment.get("PATH"))]
    lacking = [name for name in _PROGRAMS if name not in there]
    packages = " ".join(package for name in lacking if (package := _PROGRAMS[name][1]))
    found = [", ".join(there)] if there else []
    found += [f"not here: {', '.join(f'{name} ({_PROGRAMS[name][0]})' for name in lacking)}"] if lacking else []
    yield Finding(
        what="programs",
        # Whoever does without them lacks nothing.
        state=State.OK,
        found="; ".join(found),
        hint=f"if you need them: apt install {packages}" if packages else "",
    )
