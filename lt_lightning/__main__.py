"""``python -m lt_lightning``."""

from lt_lightning.cli import main

if __name__ == "__main__":
    main()
