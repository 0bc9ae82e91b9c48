"""Bannock: run an unmodified application so that only the attested application sees its secrets.

The rooms of the package and which may import which are described in ``docs/architecture.md``;
``tests/unit/test_architecture.py`` holds the rule.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
