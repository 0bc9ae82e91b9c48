"""All console scripts, their verbs, and the parsers of those: what manuals, completions and tests are made of."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bannock.cli.options import parser_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bannock.cli.command import Command
    from bannock.cli.options import Parser

__all__ = ["MODULES", "Verb", "command_named", "commands", "verbs_of"]

#: What users type → where it is.
MODULES: Final = {
    "bannock": "bannock.cli.bannock",
    "scone": "bannock.cli.scone",
    "sconectl": "bannock.cli.sconectl",
    "sconify_image": "bannock.cli.sconify_image",
    "sconify_iexec": "bannock.cli.sconify_iexec",
    "scone-signer": "bannock.cli.scone_signer",
    "kubectl-provision": "bannock.cli.kubectl_provision",
    "determine_sgx_device": "bannock.cli.determine_sgx_device",
}
#: Verbs that go on with a word of their own behind their arguments.
_PARTS: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("scone", "session", "sign"): ("sign-with-cli-identity", "generate-message-to-be-signed", "add-signature"),
    ("scone", "cas", "provision"): ("with-attestation", "only_for_testing-without-attestation"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verb:
    """One thing that a command can do.

    Attributes:
        command: what users type first.
        words: what they type then; none where the command is its only verb.
        summary: what it does, in one line.
        parser: of what follows.
        parts: the parsers of words that may stand behind its arguments, with what follows them.
    """

    command: str
    words: tuple[str, ...]
    summary: str
    parser: Parser
    parts: dict[str, Parser]

    @property
    def name(self) -> str:
        """What users type."""
        return " ".join((self.command, *self.words))


def command_named(name: str) -> Command:
    """Return a console script, by what users type."""
    command: Command = importlib.import_module(MODULES[name]).COMMAND
    return command


def commands() -> Iterator[Command]:
    """Yield all console scripts."""
    return map(command_named, MODULES)


def verbs_of(command: Command) -> Iterator[Verb]:
    """Yield what a command can do; imports all that it is made of."""
    for words, (module, summary) in command.verbs.items():
        main = importlib.import_module(module).main
        parts = _PARTS.get((command.name, *words), ())
        yield Verb(
            command=command.name,
            words=words,
            summary=summary,
            parser=parser_of(main),
            parts={part: parser_of(_behind(main, part)) for part in parts},
        )


def _behind(main: Callable[[Sequence[str]], int], part: str) -> Callable[[Sequence[str]], int]:
    return lambda arguments: main([part, *arguments])
