"""An attested session with a real CAS and a real LAS: the tags that it moves, and what a lost connection changes."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bannock.errors import ConflictError, DeniedError
from bannock.evidence.token import verify_token
from bannock.evidence.verifier import verify
from bannock.runtime.attest import FspfTagKeeper, VolumeTag
from bannock.values import FspfTag
from tests.integration.runtime.services import FIRST

if TYPE_CHECKING:
    from tests.integration.runtime.services import Services

_ONE, _TWO, _THREE = (FspfTag(letter * 16) for letter in (b"1", b"2", b"3"))


def test_keepers_move_the_tags_of_their_files(services: Services) -> None:
    """The volume's and the main protection file's are two, and each moves on by itself."""
    services.post()
    with services.attested() as session:
        volume, main = VolumeTag(session, "data"), FspfTagKeeper(session)
        volume.advance(FIRST, _ONE)
        main.advance(FIRST, _TWO)
        assert services.states() == (_ONE, _TWO)
        main.advance(_TWO, _THREE)
        assert services.states() == (_ONE, _THREE)
        for keeper in (volume, main):
            with pytest.raises(ConflictError, match="expected"):
                keeper.advance(_TWO, FspfTag(b"4" * 16))


def test_a_lost_connection_is_made_anew(services: Services) -> None:
    """After a restart of the CAS both go on from where they were."""
    services.post()
    with services.attested() as session:
        session.advance_fspf(FIRST, _ONE)
        services.restart()
        session.advance_fspf(_ONE, _TWO)
        services.restart()
        session.advance("data", FIRST, _THREE)
        assert services.states() == (_THREE, _TWO)


@pytest.mark.parametrize("policy", ["rollback_protected", "no_rollback_protection"])
def test_what_an_update_replaced_is_not_committed(services: Services, policy: str) -> None:
    """States of the old file are not told for states of the new one, although the name is the same.

    Without rollback protection nobody would compare, and the volume would be locked for services with it.
    """
    digest = services.post(policy=policy)
    with services.attested() as session:
        services.post(policy=policy, key="bb", predecessor=digest)
        before = services.states()
        for lost in (False, True):
            if lost:
                services.restart()
            for advance in (session.advance_fspf, lambda old, new: session.advance("data", old, new)):
                with pytest.raises(ConflictError, match="replaced by an update of session demo"):
                    advance(FIRST, _ONE)
                assert services.states() == before


def test_a_volume_that_an_update_made_ephemeral_is_not_committed(services: Services) -> None:
    """Whoever is attested anew is under the rules of the newest version."""
    digest = services.post()
    with services.attested() as session:
        services.post(policy="ephemeral", predecessor=digest)
        session.advance("data", FIRST, _ONE)
        services.restart()
        with pytest.raises(DeniedError, match="update_policy ephemeral"):
            session.advance("data", _ONE, _TWO)
        assert services.states() == (_ONE, FIRST)


def test_tokens_go_on_after_an_update_and_a_restart(services: Services) -> None:
    """A session that was changed decides anew: this process is attested again, and the next token names its hash."""
    digest = services.post()
    with services.attested() as session:

        def hash_in_token() -> str:
            text, seconds = session.token("https://rp.example", 60)
            assert seconds == 60
            keys, now = services.cas.tokens.key_set, dt.datetime.now(dt.UTC)
            return verify_token(text, keys, audience="https://rp.example", at=now).digest

        assert session.cas == services.cas.key_hash
        assert hash_in_token() == digest
        newer = services.post(predecessor=digest, policy="ephemeral")
        assert hash_in_token() == newer
        services.restart()
        assert hash_in_token() == newer
        key = ec.generate_private_key(ec.SECP256R1())
        text, _ = session.token("https://rp.example", 60, key)
        found = verify_token(
            text, services.cas.tokens.key_set, audience="https://rp.example", at=dt.datetime.now(dt.UTC)
        )
        assert found.key == key.public_key()
        evidence = session.evidence(b"d" * 64)
        assert verify(evidence, expected_report_data=b"d" * 64, at=dt.datetime.now(dt.UTC)).claims.platform == "sim"
