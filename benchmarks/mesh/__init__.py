"""How long ``sconectl apply`` takes for a service of which one file was changed, beside ``docker build``."""

__all__: list[str] = []
