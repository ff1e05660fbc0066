"""`python -m syncline_shop.gateway` runs the gateway."""

import sys

from syncline_shop.gateway.app import main

if __name__ == "__main__":
    sys.exit(main())
