"""``scone session`` with a real CAS."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bannock.cli.state import KnownCas, StateFile
from bannock.errors import ConflictError, EnvironmentFault, InputError, NotFoundError, PeerError, PolicySyntaxError
from bannock.net.client import Connection
from bannock.values import KeyHash

if TYPE_CHECKING:
    from bannock.cas import EmbeddedCas
    from tests.integration.cli.conftest import Scone

HASH = re.compile("[0-9a-f]{64}\n")
SESSION = """\
# who may run
name: app
version: "0.3.10"
security: {attestation: {tolerate: [simulation]}}
services:
  - name: main
    command: /bin/app $MODE
    attestation: [{mrenclave: [$MRENCLAVE]}]
"""
VALUES = ("-e", "MODE=fast", "-e", f"MRENCLAVE={'ab' * 32}")


@pytest.fixture(autouse=True)
def _attested(scone: Scone, cas: EmbeddedCas) -> None:
    """The CAS is known to the command, as after its attestation."""
    del scone
    known = KnownCas(name="cas", host="127.0.0.1", port=cas.client_address.port, key_hash=str(cas.key_hash))
    StateFile(Path.home() / ".cas" / "config.json").change(lambda state: state.with_cas(known))


@pytest.fixture
def file() -> str:
    """A template."""
    Path("app.yml").write_text(SESSION)
    return "app.yml"


def test_life_of_a_session(scone: Scone, file: str) -> None:
    """Create, read, verify, update: each prints the hash, which is the one that was calculated before."""
    created = scone.done("session", "create", file, *VALUES)
    assert HASH.fullmatch(created)
    assert scone.done("session", "calculate-hash", *VALUES, file) == created
    Path("copy.yml").write_text(scone.done("session", "read", "app"))
    assert scone.done("session", "verify", "copy.yml") == created
    assert scone.done("session", "verify", *VALUES, file) == created
    updated = scone.done("session", "update", "-e", "MODE=slow", "-e", f"MRENCLAVE={'cd' * 32}", file)
    assert HASH.fullmatch(updated)
    assert updated != created
    assert f"predecessor: {created.strip()}" in scone.done("session", "read", "app").replace('"', "").replace("'", "")
    assert "slow" in scone.done("session", "read", "app")
    assert "fast" in scone.done("session", "read", "app", "--hash", created.strip())


def test_second_create_is_refused(scone: Scone, file: str) -> None:
    """Without a predecessor, what is there stays there."""
    scone.done("session", "create", file, *VALUES)
    answer = scone("session", "create", file, *VALUES)
    assert answer.code == ConflictError.exit_code
    assert answer.out == ""
    assert answer.err.startswith("Error: Session already exists: app\n")


def test_create_with_predecessor_updates(scone: Scone, file: str) -> None:
    """The hash of the newest version makes a create an update; that of an older one does not."""
    first = scone.done("session", "create", file, *VALUES).strip()
    Path(file).write_text(f"predecessor: {first}\n{SESSION}")
    assert HASH.fullmatch(scone.done("session", "create", file, *VALUES))
    answer = scone("session", "create", file, "-e", "MODE=x", "-e", f"MRENCLAVE={'ef' * 32}")
    assert answer.code == ConflictError.exit_code


def test_update_needs_a_session(scone: Scone, file: str) -> None:
    """There has to be something to replace."""
    answer = scone("session", "update", file, *VALUES)
    assert answer.code == NotFoundError.exit_code
    assert "Session not found: app" in answer.err


def test_update_keeps_a_predecessor_that_is_named(scone: Scone, file: str) -> None:
    """Whoever names the version that he means is not overruled."""
    scone.done("session", "create", file, *VALUES)
    Path(file).write_text(f"predecessor: {'00' * 32}\n{SESSION}")
    answer = scone("session", "update", file, *VALUES)
    assert answer.code == ConflictError.exit_code
    assert "the predecessor named is 0000" in answer.err


def test_comments_survive(scone: Scone) -> None:
    """A document without variables is kept as it was written, also when its name and predecessor are put in."""
    text = '# why: the boss wants it\nname: plain\nversion: "0.3"   # the language\n'
    Path("plain.yml").write_text(text)
    scone.done("session", "create", "plain.yml")
    assert scone.done("session", "read", "plain") == text
    scone.done("session", "update", "plain.yml")
    assert scone.done("session", "read", "plain").count("#") == 2
    scone.done("session", "create", "--name", "renamed", "plain.yml")
    assert scone.done("session", "read", "renamed") == text.replace("name: plain", 'name: "renamed"')


def test_check_prints_the_session(scone: Scone, file: str) -> None:
    """Variables are put in; what is printed is a session again, with the same hash."""
    printed = scone.done("session", "check", *VALUES, file)
    assert "/bin/app fast" in printed
    assert list(yaml.safe_load(printed)) == ["name", "version", "security", "services"]
    Path("printed.yml").write_text(printed)
    assert scone.done("session", "calculate-hash", "printed.yml") == scone.done(
        "session", "calculate-hash", *VALUES, file
    )


def test_missing_variable_is_told_as_ever(scone: Scone) -> None:
    """The words that scripts look for."""
    Path("x.yml").write_text('version: "0.3"\n\nname: $SESSION\n')
    answer = scone("session", "check", "x.yml")
    assert answer.code == PolicySyntaxError.exit_code
    assert answer.out == ""
    assert answer.err == (
        "Error: x.yml is not a valid session: 1 issue\n"
        "  Caused by: name: Value for variable $SESSION is missing at line 3 column 7\n"
    )


def test_all_issues_are_told(scone: Scone) -> None:
    """Each is a cause with its place."""
    Path("x.yml").write_text("name: x\nvarsion: '0.3'\nacess_policy: {}\n")
    told = scone("session", "create", "x.yml").err
    assert len(re.findall(r"^  Caused by: .* at line \d+ column \d+$", told, re.MULTILINE)) == 2
    assert "did you mean access_policy?" in told


@pytest.mark.parametrize("verb", ["check", "calculate-hash", "create", "update", "verify"])
def test_use_env(scone: Scone, file: str, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    """Every verb takes variables from the environment if it is asked to; -e counts more."""
    if verb in ("update", "verify"):
        scone.done("session", "create", *VALUES, file)
    monkeypatch.setenv("MRENCLAVE", "ab" * 32)
    monkeypatch.setenv("MODE", "slow")
    assert scone("session", verb, file).code == PolicySyntaxError.exit_code
    scone.done("session", verb, "--use-env", "-eMODE=fast", file)


def test_name_replaces_a_variable(scone: Scone) -> None:
    """A name that is given needs no value for the variable in its place."""
    Path("x.yml").write_text('name: $NAME\nversion: "0.3"\n')
    scone.done("session", "create", "-n", "given", "x.yml")
    scone.done("session", "read", "given")


def test_session_from_a_pipe(scone: Scone) -> None:
    """A file that is a pipe will do."""
    reading, writing = os.pipe()
    os.write(writing, b'name: piped\nversion: "0.3"\n')
    os.close(writing)
    scone.done("session", "create", f"/dev/fd/{reading}")
    os.close(reading)


def test_verify_tells_what_differs(scone: Scone, file: str) -> None:
    """Place by place, and the exit code is not 0."""
    scone.done("session", "create", *VALUES, file)
    answer = scone("session", "verify", "-e", "MODE=other", "-e", f"MRENCLAVE={'cd' * 32}", file)
    assert answer.code == ConflictError.exit_code
    assert answer.out == ""
    assert "    services[0].command: differs\n" in answer.err
    assert f'services[0].attestation[0].mrenclave[0]: expected "{"cd" * 32}", found "{"ab" * 32}"' in answer.err


def test_verify_holds_a_predecessor_that_is_named(scone: Scone, file: str) -> None:
    """Where the file names one, it counts."""
    scone.done("session", "create", *VALUES, file)
    Path(file).write_text(f"predecessor: {'00' * 32}\n{SESSION}")
    assert "predecessor: is not in the session of the CAS" in scone("session", "verify", *VALUES, file).err


def test_long_form_of_the_introduction(scone: Scone, file: str) -> None:
    """`scone cas session check` is `scone session check`."""
    assert scone.done("cas", "session", "check", *VALUES, file)


def test_cas_that_was_not_attested_is_refused(scone: Scone, file: str) -> None:
    """Nothing is sent to it; what to do is told."""
    answer = scone("session", "create", "--cas", "elsewhere", file, *VALUES)
    assert answer.code == InputError.exit_code
    assert "Hint: attest it first: scone cas attest elsewhere" in answer.err


def test_cas_with_another_key_is_refused(scone: Scone, cas: EmbeddedCas, file: str) -> None:
    """The address is a help to find the CAS, and its key is what makes it the right one."""
    StateFile(Path.home() / ".cas" / "config.json").change(
        lambda state: state.with_cas(
            KnownCas(
                name="cas",
                host="127.0.0.1",
                port=cas.client_address.port,
                key_hash=str(KeyHash(bytes(32))),
            )
        )
    )
    answer = scone("session", "create", file, *VALUES)
    assert answer.code == PeerError.exit_code
    assert "is not the one expected" in answer.err


def test_verification_can_be_disabled(scone: Scone, cas: EmbeddedCas, file: str) -> None:
    """For tests: an address will do, and a warning says what that means."""
    answer = scone(
        *("session", "create", file, *VALUES, "-c", f"localhost:{cas.client_address.port}"),
        "--only_for_testing-disable-attestation-verification",
    )
    assert answer.code == 0
    assert answer.err.startswith("Warning: the CAS is not verified")


def test_external_identity(scone: Scone, file: str) -> None:
    """What one identity makes, another one may not read."""
    scone.done("-c", "other.json", "self", "show")
    StateFile(Path("other.json")).identity()
    pem = StateFile(Path("other.json")).identity().to_pem().reveal()
    Path("other.pem").touch(mode=0o600)
    Path("other.pem").write_bytes(pem)
    scone.done("session", "create", "--identity", "other.pem", file, *VALUES)
    scone.done("session", "read", "--identity", "other.pem", "app")
    assert scone("session", "read", "app").code == 30


def test_retries(scone: Scone, cas: EmbeddedCas, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is lost on the way is no failure: the session is there, and is the one that was sent."""
    lost: list[str] = []
    request = Connection.request

    def losing(self: Connection, method: str, path: str, *rest: Any) -> Any:
        answer = request(self, method, path, *rest)
        if not lost:
            lost.append(path)
            self.close()
            raise EnvironmentFault("the connection was cut")
        return answer

    monkeypatch.setattr(Connection, "request", losing)
    created = scone.done("session", "create", "--retries", "1", file, *VALUES)
    assert HASH.fullmatch(created)
    assert lost == ["/v1/sessions"]
    lost.clear()
    monkeypatch.setenv("SCONE_CLI_RETRIES", "0")
    assert scone("session", "read", "app").code == EnvironmentFault.exit_code
    assert scone("session", "read", "app", "--retries", "many").code == InputError.exit_code
    del cas


def test_answer_of_a_cas_that_lies_is_refused(scone: Scone, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that is not the one of its hash is not printed."""
    scone.done("session", "create", file, *VALUES)
    request = Connection.request

    def lying(self: Connection, *arguments: Any) -> Any:
        answer = request(self, *arguments)
        object.__setattr__(answer, "body", answer.body.replace(b"fast", b"slow"))
        return answer

    monkeypatch.setattr(Connection, "request", lying)
    answer = scone("session", "read", "app")
    assert (answer.code, answer.out) == (PeerError.exit_code, "")


def test_values_of_many_kinds_survive(scone: Scone) -> None:
    """Whatever a variable holds is text in the session, and the hash of what is printed is that of the template."""
    Path("x.yml").write_text(
        'name: x\nversion: "0.3"\nservices:\n- name: s\n  command: a\n'
        "  attestation: {mrenclave: [$M]}\n  environment: {A: $A, B: $B, C: $C, D: $D, E: 0x10, F: 012, G: ~}\n"
    )
    given = ("-e", "A=yes", "-e", "B=1\n 2\n", "-e", "C={a: [b]} # $$", "-e", "D=\t'\"\\", "-e", f"M={'ab' * 32}")
    expected = scone.done("session", "calculate-hash", "x.yml", *given)
    Path("y.yml").write_text(scone.done("session", "check", "x.yml", *given))
    assert scone.done("session", "calculate-hash", "y.yml") == expected
    assert scone.done("session", "create", "y.yml") == expected
    assert scone.done("session", "verify", "x.yml", *given) == expected


def test_warnings_can_be_fatal(scone: Scone) -> None:
    """What is accepted but probably not meant is told, and an error where that is asked for."""
    Path("x.yml").write_text('name: x\nversion: "0.3"\naccess_policy: {read: [$$SCONE::nobody$$]}\n')
    answer = scone("session", "check", "x.yml")
    assert answer.code == 0
    assert re.fullmatch(r"Warning: access_policy\.read\[0\]: .* at line 3 column 24\n", answer.err)
    answer = scone("session", "check", "--fail-on-warning", "x.yml")
    assert (answer.code, answer.out) == (InputError.exit_code, "")


def test_oldest_version_is_updated(scone: Scone) -> None:
    """Language version 0.1 has the hash of the predecessor under `digest`."""
    Path("old.yml").write_text("name: old\ndigest: create\nservices: [{name: s, command: a, mrenclaves: [$M]}]\n")
    given = ("old.yml", "-e", f"M={'ab' * 32}")
    first = scone.done("session", "create", *given).strip()
    scone.done("session", "update", *given)
    scone.done("session", "verify", *given)
    assert f"digest: {first}" in scone.done("session", "read", "old").replace("'", "")


@pytest.mark.parametrize("null", ["~", "null", ""])
def test_null_predecessor_is_none(scone: Scone, file: str, null: str) -> None:
    """`predecessor: ~`, as in the public introduction, is as good as no predecessor."""
    Path(file).write_text(f"predecessor: {null}\n{SESSION}")
    scone.done("session", "create", file, *VALUES)
    updated = scone.done("session", "update", file, *VALUES)
    assert scone.done("session", "verify", file, *VALUES) == updated
