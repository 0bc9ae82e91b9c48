"""Make-believe vendors: evidence in the genuine formats of each platform, which protects nothing.

With it everything above the hardware is rehearsed: verifiers, sessions, collateral and its end. A vendor is made on
the spot, its root is trusted by nobody, and what leads to it is of platform ``sim``, whatever else it says.
"""

__all__: list[str] = []
