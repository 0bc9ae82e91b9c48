"""How a host becomes one of ours: it is kept, its key is pinned when it is met, and one line grants access to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.errors import BannockError, DeniedError, InputError, PeerError
from bannock.execution.hosts.connection import SshConnection
from bannock.execution.hosts.key import pinned_fingerprints
from bannock.execution.hosts.record import KNOWN_HOSTS_FILE
from bannock.execution.hosts.target import SSH_PORT
from bannock.files import read_bounded

if TYPE_CHECKING:
    from bannock.execution.hosts.book import HostBook
    from bannock.execution.hosts.record import HostRecord

__all__ = ["Added", "add_host", "grant_line", "revoke_line"]

_PREFIX: Final = "SHA256:"
_FINGERPRINT_CHARACTERS: Final = 43
_BYTES_MAX: Final = 1 << 20
_KEYS: Final = ".ssh/authorized_keys"
#: Commands and tunnels, and nothing else: no terminal, no agent, no X11.
_RIGHTS: Final = "restrict,port-forwarding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A host that is ours.

    Attributes:
        line: command that lets us in there, for somebody who is.
        let_in: whether we are already.
        refused: why it could not be met; None if it was, or merely does not let us in yet.
    """

    line: str
    let_in: bool
    refused: BannockError | None


def add_host(book: HostBook, record: HostRecord, *, host_key: str | None = None) -> Added:
    """Keep a host and meet it; the same host may be added again.

    Args:
        book: where hosts are kept.
        record: the host.
        host_key: fingerprint of the key that it has to show, also in place of one that is pinned.

    Raises:
        InputError: the alias cannot be given, a file of it is open to others, or the fingerprint is none.
        PeerError: it shows another key than the one that is pinned or given.
        EnvironmentFault: a file cannot be written.
    """
    if host_key is not None:
        _check_fingerprint(host_key)
    public = book.put(record)
    line = grant_line(record, public)
    try:
        if host_key is not None and host_key not in book.pinned(record.alias):
            let_in = _meet_anew(book, record, host_key)
        else:
            let_in = _meet(SshConnection(book.target(record.alias), pin=not book.pinned(record.alias)))
    except PeerError:
        raise
    except BannockError as error:
        return Added(line=line, let_in=False, refused=error)
    return Added(line=line, let_in=let_in, refused=None)


def grant_line(record: HostRecord, public: str) -> str:
    """Return the command that grants access to a host.

    It is the same to every shell, also where ``eval`` gets it without quotes: no two spaces, nothing that matches
    files. It can be run twice.
    """
    key = f"{_RIGHTS} {public} bannock-{record.alias}"
    there = f'umask 077; mkdir -p .ssh; grep -qsxF "{key}" {_KEYS} || printf "\\n%s\\n" "{key}" >> {_KEYS}'
    return _at(record, there)


def revoke_line(record: HostRecord, public: str) -> str:
    """Return the command that takes access to a host away again."""
    return _at(record, f'sed -i "\\|{public.rsplit(maxsplit=1)[-1]}|d" {_KEYS}')


def _at(record: HostRecord, there: str) -> str:
    port = ["-p", str(record.port)] if record.port != SSH_PORT else []
    return " ".join(["ssh", *port, f"{record.user}@{record.hostname}", f"'{there}'"])


def _meet(connection: SshConnection) -> bool:
    """Connect, which pins the key, and return whether we are let in."""
    try:
        with connection:
            return True
    except DeniedError:
        return False


def _meet_anew(book: HostBook, record: HostRecord, host_key: str) -> bool:
    """Put another key in the place of the pinned ones, if the host shows it."""
    directory = book.directory(record.alias)
    fresh = directory / f"{KNOWN_HOSTS_FILE}.new"
    fresh.unlink(missing_ok=True)
    try:
        let_in = _meet(SshConnection(record.target(directory, known_hosts=fresh), pin=True))
        shown = pinned_fingerprints(read_bounded(fresh, _BYTES_MAX)) if fresh.exists() else ()
        if host_key not in shown:
            raise PeerError(
                f"host {record.alias} does not show the key {host_key}",
                reasons=[f"it shows {key}" for key in shown],
                hint="it may be another machine; or ask for the fingerprint of that key: "
                "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
            )
        fresh.replace(directory / KNOWN_HOSTS_FILE)
    finally:
        fresh.unlink(missing_ok=True)
    return let_in


def _check_fingerprint(text: str) -> None:
    if not text.startswith(_PREFIX) or len(text) != len(_PREFIX) + _FINGERPRINT_CHARACTERS:
        raise InputError(
            f"the fingerprint of a key is SHA256: and {_FINGERPRINT_CHARACTERS} characters, found {text[:80]!r}",
            hint="on the host: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
        )
