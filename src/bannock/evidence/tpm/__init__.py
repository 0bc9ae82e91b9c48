"""TPM 2: quotes, event logs, attestation keys, and how one of them comes to be believed."""

__all__: list[str] = []
