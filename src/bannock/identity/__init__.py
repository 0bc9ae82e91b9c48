"""Identity: what decides how an enclave starts, and the one hash over all of it (MRENCLAVE)."""

__all__: list[str] = []
