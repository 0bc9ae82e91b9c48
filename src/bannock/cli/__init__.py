"""Commands: parse, call, print, exit code. One module per verb; nothing is decided here."""

__all__: list[str] = []
