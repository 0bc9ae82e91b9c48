"""What this machine, and the services that it uses, lack for Bannock, and what to do about it.

Each module looks at one area. What it finds is said by the machine itself: good for mending it, and no evidence.
"""

from __future__ import annotations

__all__: list[str] = []
