"""Options that the verbs of ``scone session`` share, and what they make of a session file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bannock.cli.cas_options import warn
from bannock.cli.options import pairs
from bannock.errors import InputError
from bannock.policy.signing import Form
from bannock.remote.session_file import open_signed, prepare, read_session_file, template_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from bannock.policy.session import Session
    from bannock.remote.session_file import SessionFile

__all__ = ["Prepared", "add_session", "prepared", "session_file", "with_newline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A session that is ready for a CAS.

    Attributes:
        upload: what the CAS gets.
        document: of the session, its variables replaced; empty for one that is encrypted.
        session: what it is; None for one that is encrypted.
        form: of the file that it came from.
    """

    upload: str
    document: str
    session: Session | None
    form: Form

    @property
    def digest(self) -> str | None:
        """Its hash, where it is known here."""
        return None if self.session is None else self.session.digest


def add_session(parser: argparse.ArgumentParser) -> None:
    """Add the file and the options that say what is put into it."""
    parser.add_argument("file", metavar="FILE", help="session template (YAML), or signed session (JSON); - is stdin")
    parser.add_argument(
        "-e",
        action="append",
        default=[],
        dest="variables",
        metavar="VAR=VALUE",
        help="the value of a variable of the template",
    )
    parser.add_argument("--use-env", action="store_true", help="take variables from the environment, too")
    parser.add_argument("-n", "--name", metavar="NAME", help="the name of the session, instead of the one in the file")
    parser.add_argument("--fail-on-warning", action="store_true", help="stop if there is a warning about the file")


def session_file(parsed: argparse.Namespace) -> SessionFile:
    """Read the file that is named, with its name replaced if that is asked for.

    Raises:
        InputError: it cannot be read, or its name cannot be replaced.
    """
    file = read_session_file(parsed.file)
    return file if parsed.name is None else template_of(file, name=parsed.name)


def variables_of(parsed: argparse.Namespace) -> Mapping[str, str]:
    """Give the values of variables: those of the options before those of the environment."""
    given = pairs("-e", parsed.variables, os.environ)
    return {**os.environ, **given} if parsed.use_env else given


def prepared(parsed: argparse.Namespace, file: SessionFile | None = None) -> Prepared:
    """Make a session of a file, with its variables put in, and tell the warnings about it.

    Raises:
        InputError: the file is not usable, or there is a warning and none is to be accepted.
    """
    file = file or session_file(parsed)
    if file.form is Form.ENCRYPTED:
        return Prepared(upload=file.text, document="", session=None, form=file.form)
    if file.form is Form.SIGNED:
        document, session = open_signed(file)
    else:
        document, session = prepare(file, variables_of(parsed))
    for warning in session.warnings:
        warn(str(warning))
    if session.warnings and parsed.fail_on_warning:
        raise InputError(f"{file.origin} has {len(session.warnings)} warnings, and --fail-on-warning is set")
    upload = file.text if file.form is Form.SIGNED else document
    return Prepared(upload=upload, document=document, session=session, form=file.form)


def with_newline(text: str) -> str:
    """Give a text that ends with a line."""
    return text if text.endswith("\n") else f"{text}\n"
