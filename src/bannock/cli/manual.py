"""Manual pages, made from the parsers and the table of exit codes. Source: man(7), groff_man_style(7)."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from bannock import __version__
from bannock.cli.commands import commands, verbs_of
from bannock.cli.exit_codes import OF_VERBS, OTHERS, error_codes

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from bannock.cli.command import Command
    from bannock.cli.commands import Verb
    from bannock.cli.exit_codes import ExitCode
    from bannock.cli.options import Parser

__all__ = ["manual"]

_CODES: Final = "bannock-exit-codes"
_BEGINNING: Final = (".SH", ".SS", ".PP")


def manual(on: dt.date) -> Mapping[str, str]:
    """Return the file of each page, below a directory that ``man`` looks into, and its text.

    Args:
        on: the date that pages have.
    """
    pages: dict[str, str] = {}
    for command in commands():
        verbs = list(verbs_of(command))
        names = [_page_name(verb) for verb in verbs]
        if any(verb.words for verb in verbs):
            pages[_file(command.name)] = _page(command.name, on, _overview(command, verbs))
        for verb, name in zip(verbs, names, strict=True):
            # `scone signer sign` and `scone-signer sign` are one.
            pages.setdefault(_file(name), _page(name, on, _verb(verb, names)))
    pages[_file(_CODES, 7)] = _page(_CODES, on, _codes(), section=7)
    return pages


def _page_name(verb: Verb) -> str:
    return "-".join((verb.command, *verb.words))


def _file(name: str, section: int = 1) -> str:
    return f"man{section}/{name}.{section}"


def _page(name: str, on: dt.date, lines: Iterable[str], section: int = 1) -> str:
    head = f'.TH "{_text(name.upper())}" {section} "{on.isoformat()}" "Bannock {__version__}" "Bannock"'
    return "\n".join([head, *_tidied(list(lines))]) + "\n"


def _tidied(lines: Sequence[str]) -> Iterator[str]:
    """Leave out paragraphs that something else begins, or that nothing is in."""
    following = [*lines[1:], ".SH"]
    before = ".SH"
    for line, behind in zip(lines, following, strict=True):
        if line == ".PP" and (before.startswith(_BEGINNING) or behind.startswith(_BEGINNING)):
            continue
        yield line
        before = line


def _overview(command: Command, verbs: Sequence[Verb]) -> Iterator[str]:
    yield from _named(command.name, command.purpose.rstrip("."))
    yield from (".SH SYNOPSIS", f".B {_text(command.name)}", r"\fICOMMAND\fR [\fIOPTIONS\fR]")
    yield from (".SH DESCRIPTION", _text(command.purpose))
    yield ".SH COMMANDS"
    for verb in verbs:
        yield from (".TP", _bold(f"{_page_name(verb)}(1)"), _text(verb.summary))
    yield from _general()
    yield from _examples(command.examples)
    yield from _see_also([])


def _verb(verb: Verb, names: Sequence[str]) -> Iterator[str]:
    yield from _named(_page_name(verb), verb.summary)
    yield from (".SH SYNOPSIS", _usage(verb.parser))
    for parser in verb.parts.values():
        yield from (".PP", _usage(parser))
    yield ".SH DESCRIPTION"
    yield from _prose(verb.parser.description or "")
    yield from _actions(verb.parser, "SH")
    for part, parser in verb.parts.items():
        yield f'.SH "OPTIONS OF {_text(part.upper())}"'
        yield from _prose(parser.description or "")
        yield from _actions(parser, "SS")
    yield ".SH EXIT STATUS"
    yield from _rows(OF_VERBS.get(verb.name, ()))
    yield from (".PP", "Other codes are those of errors:", f".BR {_text(_CODES)} (7).")
    yield from _examples((verb.parser.epilog or "").removeprefix("examples:\n"))
    group = _page_name(verb).rpartition("-")[0]
    yield from _see_also([name for name in names if name.rpartition("-")[0] == group and name != _page_name(verb)])


def _named(name: str, summary: str) -> Iterator[str]:
    yield from (".SH NAME", rf"{_text(name)} \- {_text(summary)}")


def _usage(parser: Parser) -> str:
    words = " ".join(parser.format_usage().removeprefix("usage:").split())
    rest = words.removeprefix(parser.prog).strip()
    return f".B {_text(parser.prog)}\n{_text(rest)}" if rest else f".B {_text(parser.prog)}"


def _actions(parser: Parser, macro: str) -> Iterator[str]:
    shown = [action for action in parser._actions if action.help is not argparse.SUPPRESS]  # noqa: SLF001 - no other way
    for title, some in (
        ("ARGUMENTS", [action for action in shown if not action.option_strings]),
        ("OPTIONS", [action for action in shown if action.option_strings]),
    ):
        if some:
            yield f".{macro} {title}"
        for action in some:
            yield from (".TP", _heading(action), _text((action.help or "").replace("%%", "%")))


def _heading(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if not action.option_strings:
        return rf"\fI{_text(metavar)}\fR"
    names = ", ".join(rf"\fB{_text(name)}\fR" for name in action.option_strings)
    value = metavar if action.metavar or not action.choices else "|".join(map(str, action.choices))
    return names if action.nargs == 0 else rf"{names} \fI{_text(value)}\fR"


def _prose(text: str) -> Iterator[str]:
    """Yield paragraphs, and what is indented as it stands."""
    for number, paragraph in enumerate(text.split("\n\n")):
        if number:
            yield ".PP"
        kept: list[str] = []
        for line in paragraph.splitlines():
            if line.startswith(" "):
                kept.append(line)
                continue
            yield from _as_it_stands(kept)
            kept = []
            yield _text(line)
        yield from _as_it_stands(kept)


def _examples(text: str) -> Iterator[str]:
    if text.strip():
        yield ".SH EXAMPLES"
        yield from _as_it_stands([line[2:] for line in text.rstrip().splitlines()])


def _as_it_stands(lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield from (".PP", ".nf", ".RS 4", *(_text(line) for line in lines), ".RE", ".fi", ".PP")


def _general() -> Iterator[str]:
    yield ".SH OPTIONS"
    yield from (".TP", _bold("-h, --help"), "show what there is; behind a command, its options")
    yield from (".TP", _bold("-V, --version"), "show the version")
    yield ".SH ENVIRONMENT"
    for name, what in (
        ("NO_COLOR", "if set, colours are not written"),
        ("FORCE_COLOR", "if set, colours are written where there is no terminal, too"),
        ("BANNOCK_DEBUG", "1 shows where an error comes from"),
        ("BANNOCK_HOME", "keys and state, in place of ~/.config/bannock"),
    ):
        yield from (".TP", _bold(name), _text(what))
    yield from (".SH EXIT STATUS", "0 if it is done; other codes are those of errors:", f".BR {_text(_CODES)} (7).")


def _codes() -> Iterator[str]:
    yield from _named(_CODES, "exit codes of all commands of Bannock")
    yield from (".SH DESCRIPTION", "Each class of errors has an exit code. What is not in these tables is not used.")
    yield from (".SS ERRORS", *_rows(error_codes()), ".SS OTHERS", *_rows(OTHERS), ".SH COMMANDS")
    for name, rows in OF_VERBS.items():
        yield f'.SS "{_text(name)}"'
        yield from _rows(rows)
    yield from _see_also([])


def _rows(rows: Iterable[ExitCode]) -> Iterator[str]:
    for row in rows:
        name = f" ({row.error.kind})" if row.error is not None else ""
        yield from (".TP", _bold(f"{row.code}{name}"), _text(row.meaning))


def _see_also(names: Sequence[str]) -> Iterator[str]:
    yield ".SH SEE ALSO"
    own = [*names, *(command.name for command in commands() if command.name not in names)]
    for name in own[:-1]:
        yield f".BR {_text(name)} (1),"
    yield f".BR {_text(own[-1])} (1)"


def _bold(text: str) -> str:
    return rf"\fB{_text(text)}\fR"


def _text(text: str) -> str:
    """Give a text as troff shows it: as it is."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    escaped = "".join(sign if sign.isascii() else rf"\[u{ord(sign):04X}]" for sign in escaped)
    # A control character at the beginning of a line would be a request.
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped
