"""The command ``scone``: what users of SCONE type. Its words, options and outputs are those of the public CLI."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from bannock.cli.arguments import expand, output_to, split_global
from bannock.cli.chosen import chosen_config
from bannock.cli.command import Command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["COMMAND", "VERBS", "entry", "main"]

#: Words → module, and what it does in one line.
VERBS: Final[dict[tuple[str, ...], tuple[str, str]]] = {
    ("session", "check"): ("bannock.cli.session_check", "check a session file, and print the session"),
    ("session", "calculate-hash"): ("bannock.cli.session_calculate_hash", "print the hash of a session file"),
    ("session", "create"): ("bannock.cli.session_create", "upload a session to a CAS, and print its hash"),
    ("session", "update"): ("bannock.cli.session_update", "replace a session of a CAS"),
    ("session", "verify"): ("bannock.cli.session_verify", "compare a session of a CAS with a file"),
    ("session", "explain"): ("bannock.cli.session_explain", "tell what a session file means, as text or as a picture"),
    ("session", "test"): ("bannock.cli.session_test", "ask a session file questions, and compare its answers"),
    ("session", "read"): ("bannock.cli.session_read", "print a session of a CAS"),
    ("session", "sign"): ("bannock.cli.session_sign", "put a signature to a session"),
    ("session", "encrypt"): ("bannock.cli.session_encrypt", "make a session readable for one CAS alone"),
    ("cas", "attest"): ("bannock.cli.cas_attest", "find out whether a CAS is what it has to be, and remember it"),
    ("cas", "provision"): ("bannock.cli.cas_provision", "become the owner of a CAS, and configure it"),
    ("cas", "update-config"): ("bannock.cli.cas_update_config", "configure a CAS that one owns"),
    ("cas", "register-backup"): ("bannock.cli.cas_register_backup", "let another CAS read the data of a CAS"),
    ("cas", "register-upgrade"): ("bannock.cli.cas_register_upgrade", "let a CAS of newer software read its data"),
    ("cas", "start-upgrade"): ("bannock.cli.cas_start_upgrade", "put the data of a CAS under new keys"),
    ("cas", "list"): ("bannock.cli.cas_list", "list the CASes that were attested"),
    ("cas", "set-default"): ("bannock.cli.cas_set_default", "choose the CAS that is used where none is named"),
    ("cas", "show-identification"): (
        "bannock.cli.cas_show_identification",
        "show what a CAS can be recognised by",
    ),
    ("cas", "show-certificate"): ("bannock.cli.cas_show_certificate", "show the certificates of a CAS"),
    ("cas", "version"): ("bannock.cli.cas_version", "ask a CAS for the version of its software"),
    ("cas", "verify-audit-log"): (
        "bannock.cli.cas_verify_audit_log",
        "verify that an audit log is authentic and whole, and its CAS not rolled back",
    ),
    ("cas", "attest-audit-log"): (
        "bannock.cli.cas_attest_audit_log",
        "verify an audit log, and the attestation reports in it",
    ),
    ("cas", "forecast"): ("bannock.cli.cas_forecast", "tell when services would stop attesting, and why"),
    ("cas", "collateral", "export"): (
        "bannock.cli.cas_collateral_export",
        "write all collateral that evidence needs to one signed file",
    ),
    ("cas", "collateral", "import"): (
        "bannock.cli.cas_collateral_import",
        "bring collateral to a CAS, or see what it would change",
    ),
    ("self", "show"): ("bannock.cli.self_show", "show who this command is to a CAS"),
    ("self", "show-certificate"): ("bannock.cli.self_show_certificate", "show its certificate"),
    ("self", "show-key-hash"): ("bannock.cli.self_show_key_hash", "show the hash of its key"),
    ("self", "show-certificate-hash"): (
        "bannock.cli.self_show_certificate_hash",
        "show the hash of its certificate (better use the key's)",
    ),
    ("self", "show-session-signing-key"): (
        "bannock.cli.self_show_session_signing_key",
        "show the public key that it signs sessions with",
    ),
    ("self", "export"): ("bannock.cli.self_export", "write key and certificate to a file that browsers import"),
    ("cert", "show-key-hash"): ("bannock.cli.cert_show_key_hash", "show the hash of the key in a certificate"),
    ("las", "probe"): ("bannock.cli.las_probe", "find out whether a LAS works"),
    ("las", "scone-epid-trust-anchor"): (
        "bannock.cli.las_scone_epid_trust_anchor",
        "show the key that a LAS signs reports with",
    ),
    ("las", "show-machine"): ("bannock.cli.las_show_machine", "show what a session has to say to trust a machine"),
    ("las", "show-tcb-state"): ("bannock.cli.las_show_tcb_state", "show how up to date the platform of a LAS is"),
    ("las", "provision-pck-certificate"): (
        "bannock.cli.las_provision_pck_certificate",
        "give a LAS the certificate of its platform",
    ),
    ("fspf", "create"): ("bannock.cli.fspf_create", "make an empty file system protection file"),
    ("fspf", "addr"): ("bannock.cli.fspf_addr", "add a region: a path, and how what is below it is protected"),
    ("fspf", "addf"): ("bannock.cli.fspf_addf", "add the files of a directory to a region"),
    ("fspf", "encrypt"): ("bannock.cli.fspf_encrypt", "seal a protection file under a new key, and print key and tag"),
    ("fspf", "create-volume"): ("bannock.cli.fspf_create_volume", "make a volume, with the files of a directory"),
    ("fspf", "show"): ("bannock.cli.fspf_show", "show state, regions and files, or the tag alone"),
    ("fspf", "check"): ("bannock.cli.fspf_check", "read everything, name what is damaged, take out what is whole"),
    ("fspf", "import"): ("bannock.cli.fspf_import", "convert a protection file of SCONE's own format"),
    ("signer", "sign"): ("bannock.cli.signer_sign", "sign an application with its settings"),
    ("signer", "sign-cas"): ("bannock.cli.signer_sign_cas", "sign the CAS that is installed here"),
    ("signer", "verify"): ("bannock.cli.signer_verify", "find out whether an application is what was signed"),
    ("signer", "info"): ("bannock.cli.signer_info", "show what a signature says"),
    ("binary-fs",): ("bannock.cli.binary_fs", "make a file-system image that is part of an enclave"),
    ("completion",): ("bannock.cli.scone_completion", "complete command lines in a shell"),
    ("help-markdown",): ("bannock.cli.help_markdown", "show the help of every command as one document"),
    ("version",): ("bannock.cli.version", "show the version of this command"),
}
_PURPOSE: Final = "Say what may run with which secrets (sessions), have a CAS hold it to that, and protect files."
_EXAMPLES: Final = """\
  scone session check session.yml
      all that is wrong with a session file
  scone session create --use-env session.yml
      upload it to the default CAS, with variables from the environment; prints its hash
  scone fspf create-volume --encrypted ./data ./volume
      an encrypted volume with the files of ./data
  scone --config ./owner.json -o key-hash self show-key-hash
      another identity than that in ~/.cas/config.json; the output goes to a file
  scone @arguments
      one argument a line, from a file"""

#: The public introduction writes `scone cas session VERB` for `scone session VERB`.
_LONG: Final = ["cas", "session"]
#: Images that are published call `scone binary-fs` so.
_ONE_WORD: Final = "binaryfs"


def entry() -> NoReturn:
    """Be the console script."""
    COMMAND.enter()


def main(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code (:meth:`Command.run`)."""
    return COMMAND.run(arguments)


def _prepared(arguments: Sequence[str], call: Callable[[list[str]], int]) -> int:
    """Take off what stands before the verb, and call the verb with it in force."""
    options, rest = split_global(expand(arguments))
    if rest[:2] == _LONG:
        del rest[0]
    if rest[:1] == [_ONE_WORD]:
        rest[0] = "binary-fs"
    if rest == ["-V"]:
        rest = ["--version"]
    with chosen_config(options.config):
        return output_to(options.output, lambda: call(rest))


COMMAND: Final = Command(name="scone", purpose=_PURPOSE, verbs=VERBS, examples=_EXAMPLES, prepare=_prepared)

if __name__ == "__main__":
    entry()
