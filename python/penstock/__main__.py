"""`python -m penstock`: the `penstock` command, or the supervisor that `penstock serve` becomes once it has checked."""

import os
import sys

from penstock.handover import VARIABLE

if __name__ == "__main__":
    if VARIABLE in os.environ:
        from penstock.serve import supervise

        supervise(os.environ)
    from penstock.cli import main

    sys.exit(main())
