"""What pods print, followed until they end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, BinaryIO, Final

from bannock.errors import BannockError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bannock.kubernetes.local.engine_pods import EnginePods, PodContainer

__all__ = ["follow_pods", "print_container"]

_POLL_SECONDS: Final = 0.3


def print_container(pods: EnginePods, container: PodContainer, out: BinaryIO, *, last: int | None = None) -> None:
    """Write what a container has printed so far."""
    out.writelines(pods.printed(container, last=last))
    out.flush()


def follow_pods(
    pods: EnginePods,
    labels: Sequence[str],
    out: BinaryIO,
    ended: threading.Event,
    *,
    prefix: bool,
    last: int | None = None,
    first: bool = False,
) -> None:
    """Write what containers print, line by line, until all of them have ended, or somebody says that it is enough.

    Args:
        pods: of the engine.
        labels: that the containers have; those that come later, too.
        out: where it goes.
        ended: is set when it is enough.
        prefix: whether each line begins with pod and container.
        last: only so many lines of what was printed before.
        first: whether containers that run before the others are followed, too.
    """
    lock, followed, threads = threading.Lock(), dict[str, str](), list[threading.Thread]()
    while not ended.wait(_POLL_SECONDS if followed else 0):
        containers = [each for each in pods.containers(*labels) if first or not each.first]
        for each in containers:
            # A container that was started anew prints on; the engine ends what it gave before.
            if each.started == followed.get(each.identity, "") or each.status == "created":
                continue
            since = followed.get(each.identity) and each.started
            followed[each.identity] = each.started
            name = f"{each.pod} {each.name}: " if prefix else ""
            thread = threading.Thread(
                target=_follow, args=(pods, each, out, lock, name, since or "", last), daemon=True
            )
            thread.start()
            threads.append(thread)
        threads = [each for each in threads if each.is_alive()]
        if not threads and all(each.ended for each in containers):
            return


def _follow(
    pods: EnginePods, container: PodContainer, out: BinaryIO, lock: threading.Lock, prefix: str, since: str,
    last: int | None,
) -> None:  # fmt: skip
    rest = b""
    try:
        for piece in pods.printed(container, follow=True, last=None if since else last, since=since):
            *lines, rest = (rest + piece).split(b"\n")
            _write(out, lock, prefix, lines)
    except (BannockError, ValueError):
        # It was removed, or the output was closed.
        pass
    if rest:
        _write(out, lock, prefix, [rest])


def _write(out: BinaryIO, lock: threading.Lock, prefix: str, lines: Sequence[bytes]) -> None:
    with lock:
        out.writelines(prefix.encode("utf-8") + line + b"\n" for line in lines)
        out.flush()
