"""What the site has beside the pages in docs/: what lies elsewhere in the repository, and references made of the code.

MkDocs calls these functions (https://www.mkdocs.org/dev-guide/plugins/#events).
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from mkdocs.structure.files import File

from documentation.commands import command_pages
from documentation.rest import described, rest_page
from documentation.sessions import session_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_ROOT: Final = Path(__file__).parents[1]
#: Where pages of the repository are on the site.
_ELSEWHERE: Final = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "charts/cas/README.md": "charts/cas.md",
    "charts/las/README.md": "charts/las.md",
    "charts/sgxdevplugin/README.md": "charts/sgxdevplugin.md",
    "tests/data/evidence/README.md": "evidence.md",
}
#: Files that pages show or link to; they keep their places.
_SHOWN: Final = ("bench/*/*.svg", "bench/*/*.csv")
_LINK: Final = re.compile(r"(?<=\]\()(?P<to>[^)#:\s]+)(?P<anchor>#[^)\s]*)?(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies elsewhere, and references."""
    for path, name in _ELSEWHERE.items():
        files.append(File.generated(config, name, content=(_ROOT / path).read_text(encoding="utf-8")))
    for pattern in _SHOWN:
        for shown in sorted(_ROOT.glob(pattern)):
            files.append(File(str(shown.relative_to(_ROOT)), str(_ROOT), config.site_dir, config.use_directory_urls))
    for name, text in _references():
        files.append(File.generated(config, f"reference/{name}", content=text))
    return files


def _references() -> Iterator[tuple[str, str]]:
    for name, text in command_pages():
        yield f"{name}.md", text
    yield "session.md", session_page()
    for name, document in described().items():
        yield f"rest-{name}.md", rest_page(name, document)
        yield f"openapi-{name}.json", json.dumps(document, indent=2)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have links within the repository lead to where its pages are on the site."""
    del config, files
    on_site = page.file.src_uri
    in_repository = {name: path for path, name in _ELSEWHERE.items()}.get(on_site, f"docs/{on_site}")

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(in_repository), link["to"]))
        if target.startswith("docs/"):
            target = target.removeprefix("docs/")
        elif not any(PurePosixPath(target).match(pattern) for pattern in _SHOWN):
            if target not in _ELSEWHERE:
                return link[0]
            target = _ELSEWHERE[target]
        return posixpath.relpath(target, posixpath.dirname(on_site) or ".") + (link["anchor"] or "")

    return _LINK.sub(moved, markdown)
