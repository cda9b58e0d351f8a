"""``python -m recbole_sheaf`` is the command ``recbole-sheaf``."""

import sys

from recbole_sheaf.cli import main

if __name__ == "__main__":
    sys.exit(main(None))
