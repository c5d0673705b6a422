"""`python -m penstock_runner` is `penstock serve runner`."""

import sys

from penstock.cli.main import main

if __name__ == "__main__":
    sys.argv[1:] = ["serve", "runner", *sys.argv[1:]]
    main()
