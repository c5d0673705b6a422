"""`python -m penstock_ingest` is `penstock serve ingest`."""

import sys

from penstock.cli.main import main

if __name__ == "__main__":
    sys.argv[1:] = ["serve", "ingest", *sys.argv[1:]]
    main()
