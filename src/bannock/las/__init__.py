"""The local attestation service: one per host, turns what runs here into evidence that a CAS can appraise."""

__all__: list[str] = []
