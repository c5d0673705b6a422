"""`python -m penstock_scheduler` is `penstock serve scheduler`."""

import sys

from penstock.cli.main import main

if __name__ == "__main__":
    sys.argv[1:] = ["serve", "scheduler", *sys.argv[1:]]
    main()
