"""Train and evaluate a model: ``python run_recbole_sheaf.py --model=MMSheaf --dataset=ml-1m``."""

import sys

from recbole_sheaf.cli import main

if __name__ == "__main__":
    sys.exit(main(["run", *sys.argv[1:]]))
