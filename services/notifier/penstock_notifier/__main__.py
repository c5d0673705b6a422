"""`python -m penstock_notifier` is `penstock serve notifier`."""

import sys

from penstock.cli.main import main

if __name__ == "__main__":
    sys.argv[1:] = ["serve", "notifier", *sys.argv[1:]]
    main()
