"""Train and evaluate a model: ``python run_recbole_sheaf.py --model=MMSheaf --dataset=ml-1m``."""

import sys

from recbole_sheaf.cli.run import main

if __name__ == "__main__":
    sys.exit(main())
