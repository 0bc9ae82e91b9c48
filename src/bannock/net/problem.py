"""Errors on the wire: one table from error families to HTTP status, the document that carries them, and its inverse.

The document has the members of RFC 9457 and, for clients that read it, the list ``msg``. Pure; no web framework.
A client is told everything about faults of its own and nothing about ours: those it gets as a request id to quote.
"""

from __future__ import annotations

import base64
import json
from typing import Final

from bannock.errors import (
    ActivationError,
    BannockError,
    ConflictError,
    DeniedError,
    EnvironmentFault,
    InputError,
    NotFoundError,
    PeerError,
    PolicySyntaxError,
    causes,
)

__all__ = ["MEDIA_TYPE", "challenge_in", "from_problem", "to_problem"]

MEDIA_TYPE: Final = "application/problem+json"

#: The most specific class of an error decides. What is not here is a fault of the service: 500.
_STATUS: Final[dict[type[BannockError], tuple[int, str]]] = {
    InputError: (400, "the request is not usable as it is"),
    PolicySyntaxError: (400, "the session document is not in the session language"),
    PeerError: (400, "the request breaks the protocol"),
    DeniedError: (403, "a policy does not allow this"),
    NotFoundError: (404, "there is nothing of that name"),
    ConflictError: (409, "it exists already, or has changed"),
    EnvironmentFault: (503, "the service cannot do this now"),
}
#: Evidence that does not hold is a refusal, as a policy's is; it inherits from PeerError.
_STATUS_OF_KIND: Final = {
    "evidence": (403, "the evidence does not hold"),
    "activation": (403, "the evidence does not hold"),
}
_OURS: Final = (500, "the service failed")
_TOLD_FROM: Final = 500

_FAMILIES: Final[dict[int, type[BannockError]]] = {
    400: InputError,
    401: DeniedError,
    403: DeniedError,
    404: NotFoundError,
    409: ConflictError,
    413: InputError,
    422: InputError,
    # It is about now, so that whoever can wait asks again.
    503: EnvironmentFault,
}

#: A problem document is read up to these bounds, so that a hostile peer cannot fill a terminal.
_TEXT_CHARACTERS_MAX: Final = 4096
_REASONS_MAX: Final = 256
_CAUSES_MAX: Final = 16
_CHALLENGE_CHARACTERS_MAX: Final = 32 << 10


def to_problem(error: BannockError, *, request_id: str) -> tuple[int, dict[str, object]]:
    """Give the HTTP status and the document for an error.

    Faults of the service (status 500 and above) keep their message, reasons and causes out of the document.
    """
    status, title = _status(type(error))
    document: dict[str, object] = {"type": f"urn:bannock:error:{error.kind}", "title": title, "status": status}
    if status >= _TOLD_FROM:
        detail = f"{title}; the operator finds the cause in the log under request {request_id}"
        told: list[BannockError] = []
        reasons: list[str] = []
    else:
        detail = error.message
        told = [cause for cause in list(causes(error))[1:] if isinstance(cause, BannockError)]
        reasons = list(error.reasons)
    document |= {
        "detail": detail,
        "reasons": reasons,
        "causes": [{"detail": cause.message, "reasons": list(cause.reasons)} for cause in told],
        "msg": [detail, *reasons, *(line for cause in told for line in (cause.message, *cause.reasons))],
        "request": request_id,
    }
    hint = next((item.hint for item in (error, *told) if item.hint), None) if status < _TOLD_FROM else None
    if hint is not None:
        document["hint"] = hint
    challenge = next((item.challenge for item in (error, *told) if isinstance(item, ActivationError)), None)
    if challenge is not None:
        document["challenge"] = base64.b64encode(challenge).decode("ascii")
    return status, document


def challenge_in(body: bytes) -> bytes | None:
    """Give what hardware is to prove itself by, if an answer asks for that; of any bytes, so it never raises."""
    try:
        document = json.loads(body)
        challenge = document.get("challenge") if isinstance(document, dict) else None
        if not isinstance(challenge, str) or len(challenge) > _CHALLENGE_CHARACTERS_MAX:
            return None
        return base64.b64decode(challenge, validate=True)
    except (ValueError, RecursionError):
        return None


def from_problem(status: int, body: bytes) -> BannockError:
    """Make the error that an answer tells of, with its causes; of any bytes, so it never raises."""
    family = _FAMILIES.get(status, PeerError)
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    document = parsed if isinstance(parsed, dict) else {}
    messages = _texts(document.get("msg"))
    detail = _text(document.get("detail")) or (messages[0] if messages else f"the answer was HTTP status {status}")
    reasons = _texts(document.get("reasons"))
    error = family(detail, reasons=reasons, hint=_text(document.get("hint")) or None)
    outer: BannockError = error
    told = document.get("causes")
    for cause in told[:_CAUSES_MAX] if isinstance(told, list) else ():
        if isinstance(cause, dict) and _text(cause.get("detail")):
            inner = family(_text(cause.get("detail")), reasons=_texts(cause.get("reasons")))
            outer.__cause__ = inner
            outer = inner
    return error


def _status(kind: type[BannockError]) -> tuple[int, str]:
    if kind.kind in _STATUS_OF_KIND:
        return _STATUS_OF_KIND[kind.kind]
    return next((_STATUS[base] for base in kind.__mro__ if base in _STATUS), _OURS)


def _text(item: object) -> str:
    """Take text without what moves a terminal's cursor."""
    if not isinstance(item, str):
        return ""
    return "".join(character if character.isprintable() else "�" for character in item[:_TEXT_CHARACTERS_MAX])


def _texts(items: object) -> list[str]:
    return [_text(item) for item in items[:_REASONS_MAX] if _text(item)] if isinstance(items, list) else []
