"""What runs on a host for as long as a connection to it lasts, and what it says first. Pure.

A script in POSIX's shell. It ends sshd's process of the connection before, says who serves this one and which
container engines there are, and then echoes what it is sent. When nothing has come for a while it ends sshd's process
itself: sshd would hold the ports of a client that is gone for hours, and the next one needs them.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import Final, Self

__all__ = ["BEAT_SECONDS", "MARK", "SILENCE_SECONDS", "Welcome"]

#: How often the client has to say something, and after how long without it is thought gone.
BEAT_SECONDS: Final = 20.0
SILENCE_SECONDS: Final = 60
#: What the shell's own start-up files may print comes before it.
MARK: Final = b"bannock-is-here"
_SCRIPT: Final = r"""
born() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20; }
if [ -n "$1" ] && [ "$(born "$1")" = "$2" ]; then kill "$1"; fi
mine=${XDG_RUNTIME_DIR:-/run/user/$(id -u)} engines=
for socket in "${DOCKER_HOST#unix://}" /var/run/docker.sock "$mine/docker.sock" \
    /run/podman/podman.sock "$mine/podman/podman.sock"; do
    [ ! -S "$socket" ] || { [ -w "$socket" ] && engines="$engines open=$socket"; } || engines="$engines closed=$socket"
done
echo "bannock-is-here $PPID $(born $PPID)$engines"
command -v timeout >/dev/null || exec cat
while line=$(timeout "$3" head -n 1) && [ -n "$line" ]; do echo "$line"; done
kill "$PPID"
"""
_GREETED: Final = re.compile(rb"bannock-is-here ([0-9]{1,10}) ([0-9]{0,20})((?: (?:open|closed)=/[!-~]+)*)\r?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """What a host says when one connects.

    Attributes:
        engine: path of the first container engine's socket that we may use; empty if there is none.
        closed_engines: paths of those that are for others.
        process: number of sshd's process for the connection, and the time of its start.
    """

    engine: str = ""
    closed_engines: tuple[str, ...] = ()
    process: tuple[str, str] = field(default=("", ""), repr=False)

    def next(self, silence: int = SILENCE_SECONDS) -> str:
        """Return the command of the connection after this one.

        Args:
            silence: seconds after which the client is thought gone.
        """
        return shlex.join(["exec", "sh", "-c", _SCRIPT, "sh", *self.process, str(silence)])

    @classmethod
    def of(cls, said: bytes) -> Self | None:
        """Read what a host has said; None if it is anything else."""
        found = _GREETED.search(said)
        if found is None:
            return None
        sockets = [word.partition("=") for word in found[3].decode("ascii").split()]
        opened = [path for kind, _, path in sockets if kind == "open"]
        return cls(
            engine=opened[0] if opened else "",
            closed_engines=tuple(path for kind, _, path in sockets if kind == "closed"),
            process=(found[1].decode("ascii"), found[2].decode("ascii")),
        )
