"""`python -m syncline` is the command `syncline`."""

import sys

from syncline.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
