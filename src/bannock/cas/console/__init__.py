"""The web console of a CAS: pages for people, made here as HTML, SVG and CSS; they read, and change nothing.

Who looks is the key of a TLS client certificate, as everywhere, and sees what the REST interface tells that key. What
a page is made from is taken from sessions and the audit log field by field (:mod:`bannock.cas.console.outline`), so
that values of secrets, commands, environments and files are never in the hands of a template.

Nothing of this is loaded before somebody asks for a page, but for the door (:mod:`bannock.cas.console.door`).
"""

from __future__ import annotations

__all__: list[str] = []
