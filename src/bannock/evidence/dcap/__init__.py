"""Evidence of Intel SGX and TDX: quotes, what Intel vouches for, and how the two are brought together.

Pure: quotes, collateral and the time are arguments.
"""

__all__: list[str] = []
