"""``python -m lt_lightning``."""

from lt_lightning.cli import typed

if __name__ == "__main__":
    typed()
