"""From the manifest of a service to an image whose program is measured with the code that it runs."""

__all__: list[str] = []
