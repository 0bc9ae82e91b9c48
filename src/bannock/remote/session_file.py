"""Session files as users have them: read, with a name and with variables put in, ready for a CAS.

A file holds a template in YAML, or a session that was signed or encrypted already, which is JSON of another shape and
stays as it is.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import yaml

from bannock.errors import ConflictError, InputError, PolicySyntaxError
from bannock.policy.canonical import canonical_json
from bannock.policy.editing import differences, entry, with_entry
from bannock.policy.parse import parse_session
from bannock.policy.signing import Form, form_of, verify

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bannock.errors import Issue
    from bannock.policy.session import Session

__all__ = [
    "SessionFile",
    "open_predecessor",
    "open_signed",
    "prepare",
    "read_session_file",
    "require_same",
    "template_of",
]

_BYTES_MAX: Final = 4 << 20
_PREDECESSOR: Final = frozenset({"predecessor", "digest"})


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, and nothing by reference."""

    def ignore_aliases(self, data: Any) -> bool:
        """Repeat what occurs twice."""
        del data
        return True


def _written(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _written)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFile:
    """A session file.

    Attributes:
        origin: what messages call it.
        text: what it holds.
        form: what that is.
    """

    origin: str
    text: str
    form: Form


def read_session_file(name: str) -> SessionFile:
    """Read a session file; ``-`` is standard input, and pipes will do.

    Raises:
        InputError: it cannot be read, is too large, or not UTF-8 text.
    """
    origin = "standard input" if name == "-" else name
    try:
        if name == "-":
            data = sys.stdin.buffer.read(_BYTES_MAX + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(_BYTES_MAX + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read the session file {origin}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the session file {origin} is UTF-8 text, byte {error.start} is not") from None
    if len(data) > _BYTES_MAX:
        raise InputError(f"the session file {origin} is larger than {_BYTES_MAX} bytes")
    return SessionFile(origin=origin, text=text, form=form_of(text))


def template_of(
    file: SessionFile, *, name: str | None = None, entries: Mapping[str, str] | None = None
) -> SessionFile:
    """Give the template in a file, with another name or further entries.

    Raises:
        InputError: it is no template, or not YAML.
    """
    if file.form is not Form.PLAIN:
        raise InputError(
            f"{file.origin} holds a session that is {file.form.value} already: nothing in it can be changed",
            hint="leave out --name, and sign the template anew" if name else None,
        )
    wanted = {**({} if name is None else {"name": name}), **(entries or {})}
    text = file.text
    try:
        for key, value in wanted.items():
            text = with_entry(text, key, value)
    except PolicySyntaxError as error:
        _refuse(file.origin, error.issues)
    return SessionFile(origin=file.origin, text=text, form=file.form)


def prepare(file: SessionFile, variables: Mapping[str, str]) -> tuple[str, Session]:
    """Put variables into a template: give the document that a CAS gets, and the session that it is.

    A template without variables stays as it was written, with its comments.

    Raises:
        PolicySyntaxError: it is not in the session language, or a variable has no value; issue by issue as causes.
        InputError: the file holds no template.
    """
    template = template_of(file)
    try:
        session = parse_session(template.text, variables=variables)
    except PolicySyntaxError as error:
        _refuse(file.origin, error.issues)
    if _digest(template.text) == session.digest:
        return template.text, session
    # A person may read it again; every scalar is text in the session language, whatever YAML takes it for.
    text = yaml.dump(session.document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=sys.maxsize)
    return (text if _digest(text) == session.digest else canonical_json(session.document).decode()), session


def open_signed(file: SessionFile) -> tuple[str, Session]:
    """Verify a signed session: give the document that was signed, and the session that it is.

    Raises:
        InputError: it is malformed, or what was signed is not a session.
        DeniedError: a signature does not hold.
    """
    text = verify(file.text).text
    try:
        return text, parse_session(text, variables=None)
    except PolicySyntaxError as error:
        _refuse(file.origin, error.issues)


def _digest(text: str) -> str | None:
    try:
        return parse_session(text, variables=None).digest
    except PolicySyntaxError:
        return None


def _refuse(origin: str, issues: tuple[Issue, ...]) -> NoReturn:
    """Tell the issues of a file as causes, in their order."""
    causes = [InputError(str(issue)) for issue in issues]
    for outer, inner in pairwise(causes):
        outer.__cause__ = inner
    count = "1 issue" if len(issues) == 1 else f"{len(issues)} issues"
    raise PolicySyntaxError(f"{origin} is not a valid session: {count}", ()) from next(iter(causes), None)


def open_predecessor(text: str) -> str | None:
    """Give the key to put the hash of the predecessor under; None where the file names one itself."""
    digest = entry(text, "digest")
    if digest is not None:
        # As language version 0.1 writes it.
        return "digest" if digest == "create" else None
    return "predecessor" if entry(text, "predecessor") is None else None


def require_same(expected: str, stored: str) -> None:
    """Refuse a session of a CAS that is not the one expected; where that names no predecessor, any will do.

    Raises:
        ConflictError: it is another one; it tells where the two differ, without values that may be secret.
    """
    any_predecessor = open_predecessor(expected) is not None
    told = differences(expected, stored, ignored=_PREDECESSOR if any_predecessor else frozenset())
    if told:
        raise ConflictError("the session of the CAS is not the one in the file", reasons=told)
