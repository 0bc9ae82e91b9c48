#!/usr/bin/env python3
"""Write what follows from the parameters of the charts: values.yaml, its schema, and the tables of the READMEs."""

from pathlib import Path

from bannock.charts import services
from bannock.charts.services import SERVICES, generated


def main() -> None:
    """Write all of it."""
    root = Path(services.__file__).parent / "services"
    for name in SERVICES:
        for path, text in generated(name).items():
            (root / name / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
