"""The public reference of the command: each verb that it has is there, with each of its options."""

from __future__ import annotations

from typing import Final

import pytest

from bannock.cli import scone

#: Verb (and subcommand) → options, beside --help.
_REFERENCE: Final = {
    "self show": "",
    "self show-certificate": "",
    "self show-key-hash": "",
    "self show-certificate-hash": "",
    "self show-session-signing-key": "",
    "cas list": "",
    "cas attest": (
        "--accept-configuration-needed --accept-group-out-of-date --accept-sw-hardening-needed "
        "--allow-cas-owner-secret-access --isvprodid --isvsvn --mrenclave --mrsigner --nonce "
        "--offline-report --only_for_testing-debug --only_for_testing-ignore-signer "
        "--only_for_testing-trust-any --only_for_testing_allow-unprovisioned-cas --retries "
        "--verification-time -C -G -S -c -s "
    ),
    "cas show-identification": (
        "--cas-certificate --cas-key-hash --cas-software-certificate --cas-software-key-hash "
        "--certificate-chain --session-encryption-key -C -S -T -c -s "
    ),
    "cas show-certificate": "",
    "cas set-default": "",
    "cas provision": "--config-file --database-key --identity --retries --token -c -s",
    "cas provision with-attestation": (
        "--accept-configuration-needed --accept-group-out-of-date --accept-sw-hardening-needed "
        "--isvprodid --isvsvn --mrenclave --mrsigner --only_for_testing-debug "
        "--only_for_testing-ignore-signer --only_for_testing-trust-any --verification-time -C -G -S "
    ),
    "cas provision only_for_testing-without-attestation": "",
    "cas update-config": (
        "--cas --config-file --identity --only_for_testing-disable-attestation-verification --retries -c "
    ),
    "cas register-backup": (
        "--accept-configuration-needed --accept-group-out-of-date --accept-sw-hardening-needed --cas "
        "--identity --only_for_testing-disable-attestation-verification --retries -C -G -S -c "
    ),
    "cas register-upgrade": (
        "--accept-configuration-needed --accept-group-out-of-date --accept-sw-hardening-needed --cas "
        "--identity --only_for_testing-disable-attestation-verification --retries -C -G -S -c "
    ),
    "cas start-upgrade": (
        "--cas --identity --only_for_testing-disable-attestation-verification --retries --yes -c -y "
    ),
    "cas verify-audit-log": "--cas --cas-key-hash --identity --last --predecessor --print-log -c -p",
    "cas attest-audit-log": (
        "--accept-configuration-needed --accept-group-out-of-date --accept-sw-hardening-needed --cas "
        "--cas-key-hash --identity --isvprodid --isvsvn --last --mrenclave --mrsigner "
        "--only_for_testing-debug --only_for_testing-ignore-signer --only_for_testing-trust-any "
        "--predecessor --print-log --verification-time -C -G -S -c -p "
    ),
    "cas version": "--cas --identity --only_for_testing-disable-attestation-verification --retries -c",
    "session check": "--fail-on-warning --name --use-env -e -n",
    "session calculate-hash": "--fail-on-warning --identity --name --use-env --with-self-as-creator -e -n",
    "session sign": "--fail-on-warning --name --use-env -e -n",
    "session sign sign-with-cli-identity": "",
    "session sign generate-message-to-be-signed": "--force -f",
    "session sign add-signature": "",
    "session encrypt": "--cas --fail-on-warning --key --name --use-env -e -n",
    "session create": (
        "--cas --fail-on-warning --identity --name --only_for_testing-disable-attestation-verification "
        "--retries --use-env -c -e -n "
    ),
    "session update": (
        "--cas --fail-on-warning --identity --name --only_for_testing-disable-attestation-verification "
        "--retries --use-env -c -e -n "
    ),
    "session verify": (
        "--cas --fail-on-warning --identity --name --only_for_testing-disable-attestation-verification "
        "--retries --use-env -c -e -n "
    ),
    "session read": "--cas --identity --only_for_testing-disable-attestation-verification --retries -c",
    "las scone-epid-trust-anchor": (
        "--accept-configuration-needed --accept-group-out-of-date --accept-sw-hardening-needed --dev-env "
        "--las --only_for_testing-debug --sp-id --sp-key -C -G -S -l "
    ),
    "las probe": "--dcap --dcap-api-key --epid --las --scone --timeout -t",
    "las show-tcb-state": (
        "--dcap-api-key --dont-fail-on-upgradable-pck-certificate --fail-on-upgradable-platform-tcb "
        "--json --las --timeout -t "
    ),
    "las provision-pck-certificate": "--dcap-api-key --las --timeout -t",
    "cert show-key-hash": "",
    "binary-fs": "--host-path --include --preserve-symbolic-links --verbose -h -i -p -v",
    "signer sign": (
        "--dlopen --env --extensions --fork --heap --isvprodid --isvsvn --key --minheap --miscselect --mprotect "
        "--production --sconify --stack --syslibs --tcs --verbose --xfrm -H -M -S -d -e -f -h -k -m -p -t -v -x "
    ),
    "signer info": "",
    "version": "",
    "help-markdown": "",
}


@pytest.mark.parametrize("verb", _REFERENCE)
def test_options_are_those_of_the_reference(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The help of the verb has them all."""
    with pytest.raises(SystemExit) as caught:
        scone.main([*verb.split(), "--help"])
    assert caught.value.code == 0
    words = set(capsys.readouterr().out.replace(",", " ").replace("[", " ").replace("]", " ").split())
    assert set(_REFERENCE[verb].split()) <= words
