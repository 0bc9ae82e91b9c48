"""Event logs: genuine ones give what other parsers give, and lies in them are found out or believed by nobody."""

from __future__ import annotations

import base64
import dataclasses
import json
import struct

import pytest

from bannock.errors import EvidenceError
from bannock.evidence.rehearsal.boot import UEFI_DEBUG_MODE, Measured, event_log, first_events
from bannock.evidence.tpm.boot import boot_of
from bannock.evidence.tpm.event_log import EVENT_LOG_BYTES_MAX, Event, EventLog, digest_of, extended
from bannock.evidence.tpm.secure_boot import SecureBoot, secure_boot
from tests.unit.evidence.tpm.samples import DATA, cloud_log, cloud_quotes

#: As tpm2_eventlog gives them.
_DEBIAN = {
    0: "0f2d3a2a1adaa479aeeca8f5df76aadc41b862ea",
    1: "b1676439cac1531683990fefe2218a43239d6fe8",
    2: "b2a83b0ebf2f8374299a5b2bdfc31ea955ad7236",
    3: "b2a83b0ebf2f8374299a5b2bdfc31ea955ad7236",
    4: "1eb30816474a3f144e99b24e4ad480b2e51fd9e1",
    5: "019079179dbc0eb5992c500dcf8a095910ac590d",
    6: "b2a83b0ebf2f8374299a5b2bdfc31ea955ad7236",
    7: "9e6c57e850f371c2a7fe02bca552149363952318",
}
_SECURE_BOOT_VARIABLE = first_events(secure_boot=True)[1]
_SEPARATOR = first_events(secure_boot=True)[-1]


def _read(name: str) -> EventLog:
    return EventLog.parse((DATA / "eventlog" / name).read_bytes())


def test_a_genuine_log_of_sha1() -> None:
    """Debian, started with Secure Boot."""
    log = _read("tpm-debian-10.bin")
    assert log.banks == ("sha1",)
    assert {index: value.hex() for index, value in log.replay("sha1").items()} == _DEBIAN
    assert secure_boot(log, "sha1") == SecureBoot(enabled=True)


def test_a_genuine_log_without_the_last_events_of_the_firmware() -> None:
    """Its machine was started without Secure Boot; register 5 is given with the two events that the log lacks."""
    log = _read("tpm-exit-boot-services-missing.bin")
    assert secure_boot(log, "sha1") == SecureBoot(enabled=False)
    assert not [event for event in log.events if event.data.startswith(b"Exit Boot Services")]


def test_a_genuine_log_of_a_cloud_gives_its_genuine_registers() -> None:
    """In all three banks that its TPM has quoted: the log and the quotes are of one machine."""
    log = EventLog.parse(cloud_log())
    for quote in cloud_quotes()[1]:
        ((bank, values),) = quote.pcrs.items()
        replayed = log.replay(bank)
        assert {index: replayed[index] for index in range(8)} == {index: values[index] for index in range(8)}
        assert secure_boot(log, bank) == SecureBoot(enabled=True)
        if bank != "sha1":
            boot = boot_of(quote.pcrs, cloud_log())
            assert boot.machine["secure_boot"] == "true"
            assert boot.machine[f"pcr.{bank}.4"] == values[4].hex()


def test_a_genuine_log_of_a_trust_domain() -> None:
    """Every event is as another parser reads it; RTMRs are the registers 1 to 3 of its table."""
    log = _read("ccel-ovmf.bin")
    expected = json.loads((DATA / "eventlog" / "ccel-ovmf.parsed.json").read_text())["uefi_event_logs"]
    assert len(log.events) == len(expected)
    for event, other in zip(log.events, expected, strict=True):
        assert (event.register, event.data) == (other["index"], base64.b64decode(other["event"]))
        assert [value.hex() for value in event.digests.values()] == [each["digest"] for each in other["digests"]]
        assert event.tells("sha384") == other["digest_matches_event"]
    assert {index: value.hex()[:16] for index, value in log.replay("sha384").items()} == {
        1: "8566f998798db094",
        2: "775b9f6bfe99f8a3",
        3: "94eaf7a7bf398ed8",
    }


def test_register_0_starts_at_the_locality_of_the_start() -> None:
    """The firmware tells of it in an event that is not measured."""
    locality = struct.pack("<IIIH32sI", 0, 3, 1, 0xB, b"", 17) + b"StartupLocality\0\x03"
    log = event_log([])
    with_locality = log + locality + event_log(first_events(secure_boot=True))[len(log) :]
    first = EventLog.parse(with_locality).of(0)[0]
    after_first = extended("sha256", bytes(31) + b"\x03", first.digests["sha256"])
    separator = EventLog.parse(with_locality).of(0)[1]
    expected = extended("sha256", after_first, separator.digests["sha256"])
    assert EventLog.parse(with_locality).replay("sha256")[0] == expected


def _made(*events: Measured) -> EventLog:
    return EventLog.parse(event_log(events))


def test_secure_boot_is_read_from_what_was_hashed() -> None:
    """On, off, and the firmware's debugger, which spoils it."""
    assert secure_boot(_made(*first_events(secure_boot=True)), "sha256") == SecureBoot(enabled=True)
    assert secure_boot(_made(*first_events(secure_boot=False)), "sha256") == SecureBoot(enabled=False)
    debugged = secure_boot(_made(UEFI_DEBUG_MODE, *first_events(secure_boot=True)), "sha256")
    assert debugged == SecureBoot(enabled=True, debug=True)


def test_data_that_were_not_hashed_are_not_believed() -> None:
    """The attack: the log of a machine without Secure Boot says that it was on, with the digest of the truth."""
    log = _made(*first_events(secure_boot=False))
    lie = log.events[1]
    assert lie.data.endswith(b"\x00")
    forged = dataclasses.replace(lie, data=lie.data[:-1] + b"\x01")
    said = secure_boot(dataclasses.replace(log, events=(log.events[0], forged, *log.events[2:])), "sha256")
    assert said.enabled is None
    assert said.reason == "an event before the separator is not what was hashed"


def test_a_relabelled_event_is_still_what_it_was() -> None:
    """The attack: the true variable hides behind another type, and a false one is measured after it."""
    off = first_events(secure_boot=False)[1]
    hidden = dataclasses.replace(off, kind=0xD)
    for events in ([hidden, _SECURE_BOOT_VARIABLE, _SEPARATOR], [_SECURE_BOOT_VARIABLE, hidden, _SEPARATOR]):
        said = secure_boot(_made(*events), "sha256")
        assert (said.enabled, said.reason) == (None, "the variable SecureBoot is measured 2 times")


def test_a_variable_after_the_separator_is_not_believed() -> None:
    """The attack: the system that was started without Secure Boot measures the variable itself; any name it gives."""
    for kind in (_SEPARATOR.kind, 0xD):
        separator = dataclasses.replace(_SEPARATOR, kind=kind)
        said = secure_boot(_made(separator, _SECURE_BOOT_VARIABLE), "sha256")
        assert (said.enabled, said.reason) == (None, "the variable SecureBoot is measured 0 times")
    assert secure_boot(_made(_SECURE_BOOT_VARIABLE), "sha256").reason == "there is no separator in register 7"


@pytest.mark.parametrize("end", [b"", b"x" * 8])
def test_variables_of_others_are_not_believed(end: bytes) -> None:
    """The name alone, of another vendor, or with more behind it."""
    if end:
        other = dataclasses.replace(_SECURE_BOOT_VARIABLE, data=_SECURE_BOOT_VARIABLE.data + end)
    else:
        other = dataclasses.replace(_SECURE_BOOT_VARIABLE, data=bytes(16) + _SECURE_BOOT_VARIABLE.data[16:])
    assert secure_boot(_made(other, _SEPARATOR), "sha256").enabled is None


def _values(log: bytes) -> dict[int, bytes]:
    return EventLog.parse(log).replay("sha256")


def test_a_log_of_another_start_is_refused() -> None:
    """Each register of the firmware that differs is named."""
    log = event_log(first_events(secure_boot=True))
    values = _values(log)
    assert boot_of({"sha256": values}, log).machine["secure_boot"] == "true"
    other = event_log(first_events(secure_boot=False))
    with pytest.raises(EvidenceError, match="of another start of the machine than the registers") as refused:
        boot_of({"sha256": values | {1: bytes(32)}}, other)
    assert [reason.partition(": ")[0] for reason in refused.value.reasons] == ["sha256:1", "sha256:7"]
    with pytest.raises(EvidenceError, match="of another start"):
        boot_of({"sha256": {7: bytes(32)}}, log)


def test_what_the_system_measures_later_is_no_contradiction() -> None:
    """Registers from 8 on go on after the firmware's log; so does register 5, by two events that some leave out."""
    grub = Measured(register=8, kind=0xD, data=b"a command of the boot loader")
    log = event_log([*first_events(secure_boot=True), grub])
    values = _values(log)
    later = values | {8: extended("sha256", values[8], bytes(32))}
    told = [finding.what for finding in boot_of({"sha256": later}, log).findings]
    assert "register sha256:8 was measured into after what the event log tells" in told
    five = values[5]
    for words in (b"Exit Boot Services Invocation", b"Exit Boot Services Returned with Success"):
        five = extended("sha256", five, digest_of("sha256", words))
    told = [finding.what for finding in boot_of({"sha256": values | {5: five}}, log).findings]
    assert "the event log gives register sha256:5, but for the firmware's last two events" in told
    with pytest.raises(EvidenceError, match="of another start"):
        boot_of({"sha256": values | {5: extended("sha256", five, bytes(32))}}, log)


def test_registers_of_sha1_alone_prove_nothing() -> None:
    """Two starts can have the same ones."""
    _, (quote, *_), _ = cloud_quotes()
    with pytest.raises(EvidenceError, match="of SHA-1 alone, which prove nothing"):
        boot_of(quote.pcrs, cloud_log())
    # Beside others they are left out.
    values = {"sha1": quote.pcrs["sha1"], "sha256": {0: bytes(32)}}
    assert boot_of(values, b"").machine == {"pcr.sha256.0": "00" * 32}


def test_a_log_that_lacks_the_bank_tells_nothing_and_is_no_error() -> None:
    """A log of SHA-1 beside a quote over SHA-256: what it says of Secure Boot is not used."""
    log = (DATA / "eventlog" / "tpm-debian-10.bin").read_bytes()
    boot = boot_of({"sha256": {7: bytes(32)}}, log)
    assert boot.machine == {"pcr.sha256.7": "00" * 32}
    assert [finding.what for finding in boot.findings] == ["the event log has no digests for bank sha256"]


def test_bounds_of_a_log() -> None:
    """Length, registers, algorithms and their sizes, and what follows after the last event."""
    log = event_log(first_events(secure_boot=True))
    with pytest.raises(EvidenceError, match="at most"):
        EventLog.parse(log + bytes(EVENT_LOG_BYTES_MAX))
    assert EventLog.parse(log + bytes(100)) == EventLog.parse(log) == EventLog.parse(log + b"\xff" * 99)
    with pytest.raises(EvidenceError):
        EventLog.parse(log + bytes(100) + b"\x01")
    with pytest.raises(EvidenceError, match="event of register 24"):
        _made(Measured(register=24, kind=1, data=b""))
    for wrong, message in ((b"\x0b\x00\x14\x00", "with 20 bytes"), (b"\x12\x00\x41\x00", "with 65 bytes")):
        with pytest.raises(EvidenceError, match=message):
            EventLog.parse(log.replace(b"\x0b\x00\x20\x00", wrong, 1))
    lacking = EventLog(banks=("sha256",), events=(Event(register=0, kind=1, digests={}, data=b""),))
    with pytest.raises(EvidenceError, match="has no digest for bank sha256"):
        lacking.replay("sha256")
