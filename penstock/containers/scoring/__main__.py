"""``python -m penstock.containers.scoring serve``."""

from __future__ import annotations

import sys

from penstock.containers.scoring.predictors import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
