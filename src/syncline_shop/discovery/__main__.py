"""`python -m syncline_shop.discovery` runs the registry."""

import sys

from syncline_shop.discovery.app import main

if __name__ == "__main__":
    sys.exit(main())
