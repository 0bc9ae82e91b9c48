"""Pages from templates: everything that is put in is escaped, and shown as it is.

Names of sessions, secrets and services, and the reasons of refusals, are texts that somebody else chose. Beside what
HTML gives a meaning to, characters that would not be seen, or would turn text around, are written by their numbers.
"""

from __future__ import annotations

import functools
import importlib.resources
import unicodedata
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sized

__all__ = ["icon", "link_to", "plain", "render", "style_sheet"]

_TEMPLATES: Final = "templates"
#: Controls, formats (which turn text around), surrogates, private use, not assigned, separators of lines.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_KEPT: Final = frozenset("\n")


def render(template: str, **values: Any) -> bytes:
    """Fill in a template."""
    return _environment().get_template(template).render(values).encode("utf-8")


def style_sheet() -> bytes:
    """Give the one style sheet."""
    return _file("style.css").encode("utf-8")


def icon() -> bytes:
    """Give the picture that browsers show beside the title."""
    return _file("icon.svg").encode("utf-8")


def plain(value: object) -> object:
    """Write out what would not be seen in a text; leave everything else to escaping."""
    if value is None:
        return ""
    if not isinstance(value, str) or isinstance(value, Markup) or (value.isascii() and value.isprintable()):
        return value
    return "".join(
        f"\\u{{{ord(each):x}}}" if unicodedata.category(each) in _UNSEEN and each not in _KEPT else each
        for each in value
    )


def link_to(*parts: str) -> str:
    """Give the address of a page; whatever names are in it, they stay in it."""
    return "/".join(("/console", *(quote(part, safe="/") for part in parts)))


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(lambda name: _file(f"{_TEMPLATES}/{name}")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=plain,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {"moment": _moment, "short": _short, "counted": _counted}
    environment.globals |= {"link_to": link_to}
    return environment


def _file(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _moment(value: dt.datetime | None) -> str:
    return "" if value is None else value.strftime("%Y-%m-%d %H:%M:%S")


def _counted(things: Sized, what: str) -> str:
    return f"{len(things)} {what}{'' if len(things) == 1 else 's'}"


def _short(text: str, count: int = 28) -> str:
    """Cut a text in its middle, where names differ least."""
    text = str(plain(text))
    if len(text) <= count:
        return text
    begin = (count - 1) // 2
    return f"{text[:begin]}…{text[len(text) - (count - 1 - begin) :]}"
