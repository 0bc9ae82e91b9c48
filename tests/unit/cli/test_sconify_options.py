"""The options of ``sconify_image``: those of the public reference, all of them documented, and what they come to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from bannock.cli import sconify_trace
from bannock.cli.sconify_options import options_parser, parse
from bannock.errors import InputError
from bannock.images.blobs import Scratch
from bannock.images.places import Places
from tests.unit.images.sconify.native import PROGRAM, native

if TYPE_CHECKING:
    from collections.abc import Iterator

_DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "cli.md"
#: Of the public reference of the standard edition, which the community's and iExec's are parts of.
_REFERENCE: Final = (
    "--from --to --binary --name --base --command --env --cli --service-name --dir --plain --plain-file "
    "--host-path --volume --cas --las --template --session --secrets --injectedfiles --namespace "
    "--create-namespace --identity --push-image --dry-run --generate-sconefile --allow-tcb-vulnerabilities "
    "--allow-debug-mode --cas-debug --disable-binary-symlink-detection "
    "--disable-copy-shared-object-dependencies --disable-copy-service-libraries --disable-copy-envvars "
    "--disable-session-upload --disable-attestation --disable-session-security-attestation "
    "--disable-replace-unsconifiable-binaries --disable-update-session-if-exists "
    "--disable-ld-library-path-in-session --binary-fs --fs-dir --fs-file --crosscompiler "
    "--disable-binary-fs-defaults --scone-signer --k8s-helm-workload-type --k8s-helm-expose "
    "--k8s-helm-output-dir --k8s-helm-volume --k8s-helm-manifests --k8s-helm-set --azure-attestation --heap "
    "--stack --dlopen --fork --log --debug --verbose --no-color --help -h -x -v "
)
#: As strace -f writes it: a program that loads a module of its own.
_LOG: Final = f"""\
10 execve("{PROGRAM}", ["serve"], 0x7ffd /* 5 vars */) = 0
10 openat(AT_FDCWD, "/app/server.py", O_RDONLY|O_CLOEXEC) = 3
10 openat(AT_FDCWD, "/etc/hosts", O_RDONLY|O_CLOEXEC) = 3
10 exit_group(0) = ?
"""


def _options(*, iexec: bool) -> set[str]:
    actions = options_parser("sconify_image", iexec=iexec)._actions
    return {option for action in actions for option in action.option_strings}


def test_the_public_reference() -> None:
    """Every option of it is taken; iExec's command has one more."""
    assert set(_REFERENCE.split()) <= _options(iexec=False)
    assert _options(iexec=True) - _options(iexec=False) == {"--enable-session-upload"}


def test_every_option_is_documented() -> None:
    """The page on commands names each."""
    text = _DOCUMENT.read_text()
    assert [option for option in sorted(_options(iexec=True)) if option.startswith("--") and option not in text] == [
        "--help"
    ]


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    """Where a native image is."""
    with Places.prepared(cache=tmp_path / "places") as prepared:
        with Scratch(tmp_path / "scratch") as scratch:
            prepared.store(native(scratch), f"oci:{tmp_path / 'native'}:1")
        yield prepared


def _words(tmp_path: Path, *words: str) -> list[str]:
    return [f"--from=oci:{tmp_path / 'native'}:1", "--to=x", f"--binary={PROGRAM}", *words]


def test_a_trace_from_a_file(places: Places, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Directories of a log are encrypted beside those that are named, and each is told with its reason."""
    log = tmp_path / "strace.log"
    log.write_text(_LOG)
    words = _words(tmp_path, f"--trace={log}", "--dir=/srv/data")
    request = parse("sconify_image", words, {}, iexec=False)
    image = places.open(request.source)
    options = sconify_trace.with_traced(request, request.options, image, places)
    assert options.places.directories == ("/srv/data", "/app")
    told = capsys.readouterr()
    assert told.out == ""
    assert "protected: /app: code that the program loads: server.py" in told.err


def test_a_trace_that_is_none(places: Places, tmp_path: Path) -> None:
    """A log that is not there is an error; and so is one for a root that is measured as a whole."""
    request = parse("sconify_image", _words(tmp_path, "--trace=/nowhere"), {}, iexec=False)
    image = places.open(request.source)
    with pytest.raises(InputError, match="/nowhere"):
        sconify_trace.with_traced(request, request.options, image, places)
    request = parse("sconify_image", _words(tmp_path, "--trace=auto", "--binary-fs"), {}, iexec=False)
    with pytest.raises(InputError, match="--binary-fs measures them instead"):
        sconify_trace.with_traced(request, request.options, image, places)
