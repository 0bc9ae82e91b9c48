"""What a client asks of a CAS, over a connection that is made when it is needed, and anew when it fails."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import quote

from bannock.errors import BannockError, ConflictError, EnvironmentFault, PeerError, PolicySyntaxError
from bannock.net.client import connect
from bannock.net.problem import from_problem
from bannock.remote.receipts import accept

if TYPE_CHECKING:
    from collections.abc import Callable

    from bannock.net.address import Address
    from bannock.net.client import Connection, Response
    from bannock.net.tls import Identity
    from bannock.remote.receipts import Receipts
    from bannock.values import KeyHash

__all__ = ["CasApi", "StoredText", "tried_again"]

_STATUS_OK: Final = range(200, 300)
_FIRST_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 8.0

_Answer = TypeVar("_Answer")


def tried_again(call: Callable[[], _Answer], retries: int, sleep: Callable[[float], None] = time.sleep) -> _Answer:
    """Call something, and again after a pause while the network or the service is not there.

    Raises:
        EnvironmentFault: it was not there the last time either.
    """
    for number in range(retries):
        try:
            return call()
        except EnvironmentFault:
            sleep(min(_FIRST_PAUSE_SECONDS * 2**number, _LONGEST_PAUSE_SECONDS))
    return call()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredText:
    """A version of a session as a CAS has it.

    Attributes:
        text: the document.
        digest: the hash of it, as the CAS says and as it really is.
    """

    text: str
    digest: str


class CasApi:
    """One CAS, for one client; a context manager.

    Args:
        address: of its client interface.
        identity: who asks.
        expected: the key that the CAS has to have; None for any, which is for tests alone.
        retries: how often an operation is tried again when the network fails.
        receipts: what it answered before; None compares nothing.
        sleep: waits for seconds between two tries.
    """

    def __init__(
        self,
        address: Address,
        identity: Identity | None,
        *,
        expected: KeyHash | None,
        retries: int,
        receipts: Receipts | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.address: Final = address
        self._identity = identity
        self._expected = expected
        self._retries = retries
        self._receipts = receipts
        self._sleep = sleep
        self._connection: Connection | None = None
        self._repeated = False

    def request(self, method: str, path: str, body: bytes = b"", content_type: str = "application/json") -> Response:
        """Send a request, again if the network fails, and give the answer if it is one of success.

        Raises:
            BannockError: what the CAS answers; EnvironmentFault and PeerError as :meth:`Connection.request`.
        """
        tries = 0

        def ask() -> Response:
            nonlocal tries
            tries += 1
            try:
                return self._open().request(method, path, body, content_type)
            except EnvironmentFault:
                self.close()
                raise

        answer = tried_again(ask, self._retries, self._sleep)
        self._repeated = tries > 1
        if answer.status not in _STATUS_OK:
            raise from_problem(answer.status, answer.body)
        return answer

    def request_json(self, method: str, path: str, payload: object | None = None) -> dict[str, Any]:
        """Send a JSON document and give the JSON object that is answered.

        Raises:
            BannockError: as :meth:`request`.
            PeerError: the answer is no JSON object.
        """
        body = b"" if payload is None else json.dumps(payload, ensure_ascii=False).encode("utf-8")
        return self._object(self.request(method, path, body))

    def post_session(self, document: str, *, digest: str | None, name: str | None) -> str:
        """Create or update a session, and give its hash.

        Args:
            document: its text, or what was signed or encrypted.
            digest: the hash that it has, where that is known here.
            name: of the session, likewise.

        Raises:
            BannockError: as :meth:`request`.
            PeerError: the CAS answers another hash than the document has.
            EvidenceError, RollbackError: as :func:`bannock.remote.receipts.accept`.
        """
        try:
            answer = self.request("POST", "/v1/sessions", document.encode("utf-8"), "application/yaml")
        except ConflictError:
            # An answer that was lost on the way leaves a session that is there already: this very one.
            if not self._repeated or digest is None or name is None or not self._has(name, digest):
                raise
            return digest
        told = self._object(answer)
        found = told.get("hash")
        if not isinstance(found, str) or (digest is not None and found != digest):
            raise PeerError(f"the CAS at {self.address} answers that the session is {found!r}, expected {digest}")
        self._accept(told, session=name, digest=found)
        return found

    def read_session(self, name: str, digest: str | None = None) -> StoredText:
        """Read a session: the version in force, or the one with a hash.

        Raises:
            BannockError: as :meth:`request`.
            PeerError: what the CAS answers is not the session that it says it is.
            EvidenceError, RollbackError: as :func:`bannock.remote.receipts.accept`, for the version in force.
        """
        path = f"/v1/sessions/{quote(name, safe='/')}"
        answer = self.request_json("GET", path if digest is None else f"{path}?hash={quote(digest)}")
        text, found = answer.get("session"), answer.get("hash")
        if not isinstance(text, str) or not isinstance(found, str):
            raise PeerError(f"the CAS at {self.address} answers without session and hash")
        # The session language takes longer to import than most commands that ask a CAS take to run.
        from bannock.policy.parse import parse_session  # noqa: PLC0415

        try:
            session = parse_session(text, variables=None)
        except PolicySyntaxError as error:
            raise PeerError(f"the CAS at {self.address} answers with what is no session") from error
        if session.digest != found or session.name != name:
            raise PeerError(
                f"the CAS at {self.address} answers with session {session.name} {session.digest}, "
                f"and says that it is {name} {found}"
            )
        if digest is None:
            self._accept(answer, session=name, digest=found)
        elif digest != found:
            raise PeerError(f"the CAS at {self.address} answers with version {found}, asked for {digest}")
        return StoredText(text=text, digest=found)

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = connect(*self.address, self._identity, expected_peer=self._expected)
        return self._connection

    def _has(self, name: str, digest: str) -> bool:
        try:
            return self.read_session(name).digest == digest
        except BannockError:
            return False

    def _accept(self, answer: dict[str, Any], *, session: str | None, digest: str) -> None:
        if self._receipts is not None:
            accept(self._receipts, answer.get("receipt"), self._open().peer_key_hash, session=session, digest=digest)

    def _object(self, answer: Response) -> dict[str, Any]:
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise PeerError(f"the CAS at {self.address} answers with something other than JSON") from error
        if not isinstance(document, dict):
            raise PeerError(f"the CAS at {self.address} answers with something other than a JSON object")
        return document
