"""What follows pages of the documentation notices what is not as they say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.documentation import Page, Reader, read
from tests.e2e.machine import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Callable

_TUTORIALS: Final = sorted((REPOSITORY / "docs" / "tutorials").glob("*.md"))
_TEXT = """
# A page

```yaml title="etc/one.yml"
name: $HOME `date`
```

```bash
export NAME=world
test -e etc/one.yml
```

```console
$ cat etc/one.yml
name: $HOME `date`
$ printf 'Hello %s\\n' \\
>     "$NAME"; sleep 0
Hello world
$ seq 3; echo 0123456789abcdef0123456789abcdef
1
…
fedcba9876543210fedcba9876543210
$ false || echo Error: it failed >&2
Error: …
```

```yaml
read: only
```
"""


@pytest.fixture
def follow(tmp_path: Path) -> Callable[[str], None]:
    """Give somebody who follows a page."""
    return lambda text: Reader(tmp_path / "reader").follow(Page(path=Path("page.md"), steps=read(text)))


def test_a_page_that_is_true(follow: Callable[[str], None]) -> None:
    """Files, commands and outputs of all kinds."""
    assert [step.line for step in read(_TEXT)] == [5, 9, 14, 16, 19, 23]
    follow(_TEXT)


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("Hello world\n", "Hello World\n"),
        ("fedcba9876543210fedcba9876543210", "fedcba"),
        ("1\n…\n", "1\n2\n"),
        ("test -e etc/one.yml", "test -e etc/two.yml\necho on"),
        ("$ false ||", "$ exit ||"),
        ("Error: …\n", ""),
    ],
)
def test_a_page_that_is_not(follow: Callable[[str], None], written: str, instead: str) -> None:
    """Another output, a command that fails, and a shell that ends are told, with their place."""
    assert written in _TEXT
    with pytest.raises(AssertionError, match=r"page\.md:\d+\n\$ "):
        follow(_TEXT.replace(written, instead))


_FOLLOWED: Final = ("start.md", "cli.md", "fspf.md", *(f"tutorials/{path.name}" for path in _TUTORIALS))


@pytest.mark.parametrize("name", _FOLLOWED)
def test_every_block_is_run(name: str) -> None:
    """Of pages that are followed, each block is for the shell or a file; and there is a test that follows the page."""
    text = (REPOSITORY / "docs" / name).read_text(encoding="utf-8")
    openings = [line for line in re.findall(r"^```.*$", text, re.MULTILINE) if line != "```"]
    assert openings
    assert not [line for line in openings if not re.fullmatch(r'```(console|bash|[a-z]+ title="[^"]+")', line)]
    tests = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests" / "e2e").glob("test_*.py")]
    assert [test for test in tests if f'page("{name}")' in test]
