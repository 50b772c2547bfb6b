"""``python -m sentlora.cli``."""

from sentlora.cli import main

if __name__ == "__main__":
    main()
