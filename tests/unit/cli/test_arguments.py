"""What stands before the verb of ``scone``: argument files, the state, the output."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bannock.cli import scone
from bannock.cli.arguments import GlobalOptions, expand, output_to, split_global
from bannock.errors import InputError


def test_argument_files_are_lines(tmp_path: Path) -> None:
    """Each line is one argument, spaces included; a line may name a further file."""
    (tmp_path / "inner").write_text("-e\nA=b c\n")
    (tmp_path / "outer").write_text(f"session\n@{tmp_path}/inner\n\n")
    assert expand(["x", f"@{tmp_path}/outer", "y"]) == ["x", "session", "-e", "A=b c", "", "y"]


def test_argument_file_that_names_itself_is_refused(tmp_path: Path) -> None:
    """Recursion ends in an error."""
    (tmp_path / "loop").write_text(f"@{tmp_path}/loop")
    with pytest.raises(InputError, match="over 16 deep"):
        expand([f"@{tmp_path}/loop"])


def test_argument_file_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """The error names the file."""
    assert scone.main(["@nowhere"]) == InputError.exit_code
    assert "cannot take arguments from @nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "options", "rest"),
    [
        (["-c", "f", "self", "show"], GlobalOptions(config=Path("f")), ["self", "show"]),
        (["--config=f", "-o", "g", "x"], GlobalOptions(config=Path("f"), output=Path("g")), ["x"]),
        (["--config", "f", "-og", "x"], GlobalOptions(config=Path("f"), output=Path("g")), ["x"]),
        (["-cf", "x", "-c", "g"], GlobalOptions(config=Path("f")), ["x", "-c", "g"]),
        (["x", "-o", "g"], GlobalOptions(), ["x", "-o", "g"]),
        (["--cas"], GlobalOptions(), ["--cas"]),
    ],
)
def test_options_before_the_verb(arguments: list[str], options: GlobalOptions, rest: list[str]) -> None:
    """They are taken off, and those behind the verb are the verb's."""
    assert split_global(arguments) == (options, rest)


def test_option_without_value_is_refused() -> None:
    """An error, not the next verb."""
    with pytest.raises(InputError, match="-o needs a file"):
        split_global(["-o"])


def test_output_goes_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a verb prints is in the file, text and bytes alike, and nothing of it on standard output."""
    file = tmp_path / "out"
    assert scone.main(["-o", str(file), "version"]) == 0
    assert file.read_text().startswith("scone ")
    assert capsys.readouterr().out == ""

    def both() -> int:
        sys.stdout.write("ü\n")
        sys.stdout.buffer.write(b"\xff")
        return 0

    output_to(file, both)
    assert file.read_bytes() == "ü\n".encode() + b"\xff"


def test_failure_leaves_the_output_file_alone(tmp_path: Path) -> None:
    """A file that was there is not emptied by a command that fails."""
    file = tmp_path / "out"
    file.write_text("before")
    assert scone.main(["-o", str(file), "session", "check", os.fspath(tmp_path / "nothing")]) == InputError.exit_code
    assert file.read_text() == "before"
