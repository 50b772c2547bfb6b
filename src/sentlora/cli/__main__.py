"""``python -m sentlora.cli``."""

from sentlora.cli import main

main()
