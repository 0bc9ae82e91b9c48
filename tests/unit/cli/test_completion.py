"""What a shell completes, and the help as one document."""

from __future__ import annotations

import subprocess

import pytest

from bannock.cli import scone


@pytest.fixture(scope="module")
def script() -> str:
    """The completion for bash."""
    from bannock.cli.completion import _SCRIPT, _entries  # noqa: PLC0415

    return _SCRIPT % "\n".join(_entries())


@pytest.mark.parametrize(
    ("line", "offered", "withheld"),
    [
        ("scone ", ["session", "cas", "--config"], ["create"]),
        ("scone se", ["session", "self"], ["cas"]),
        ("scone session ", ["create", "read", "sign"], ["attest", "--config"]),
        ("scone session cr", ["create"], ["read"]),
        ("scone session create --", ["--use-env", "--cas", "--identity"], ["--mrenclave"]),
        ("scone -c file cas attest --mr", ["--mrenclave", "--mrsigner"], ["--retries"]),
        ("scone cas attest address -", ["-c", "-G"], ["-T"]),
    ],
)
def test_bash_completes(script: str, line: str, offered: list[str], withheld: list[str]) -> None:
    """A real bash offers what fits, and nothing else."""
    words = line.split(" ")
    program = (
        f"{script}\nCOMP_WORDS=({' '.join(map(repr, words))}); COMP_CWORD={len(words) - 1}; _scone; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    told = subprocess.run(["/bin/bash", "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert set(offered) <= set(told)
    assert not set(withheld) & set(told)


def test_help_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    """Every verb is in it, with its options."""
    assert scone.main(["help-markdown"]) == 0
    told = capsys.readouterr().out
    for words in scone.VERBS:
        assert f"\n## scone {' '.join(words)}\n" in told
        assert f"usage: scone {' '.join(words)} " in told
