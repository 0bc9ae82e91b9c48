"""What the site has beside the pages in docs/: pages that lie elsewhere in the repository.

MkDocs calls these functions (https://www.mkdocs.org/dev-guide/plugins/#events).
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from mkdocs.structure.files import File

if TYPE_CHECKING:
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
_SHOWN: Final = ("bench/plots/*.svg", "bench/results/*.csv")
_LINK: Final = re.compile(r"(?<=\]\()(?P<to>[^)#:\s]+)(?P<anchor>#[^)\s]*)?(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies elsewhere."""
    for path, name in _ELSEWHERE.items():
        files.append(File.generated(config, name, content=(_ROOT / path).read_text(encoding="utf-8")))
    for pattern in _SHOWN:
        for path in sorted(_ROOT.glob(pattern)):
            name = str(path.relative_to(_ROOT))
            files.append(File(name, str(_ROOT), config.site_dir, config.use_directory_urls))
    return files


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
