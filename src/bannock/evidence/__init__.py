"""Evidence: what an enclave is, said so that a distant verifier can believe it, and how it is verified.

One envelope for every platform: a report, a quote that vouches for whoever signed the report, and the signature.
"""

__all__: list[str] = []
