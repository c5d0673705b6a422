"""`python -m penstock_query` is `penstock serve query`."""

import sys

from penstock.cli.main import main

if __name__ == "__main__":
    sys.argv[1:] = ["serve", "query", *sys.argv[1:]]
    main()
