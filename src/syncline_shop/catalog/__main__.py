"""`python -m syncline_shop.catalog` runs one instance."""

import sys

from syncline_shop.catalog.app import main

if __name__ == "__main__":
    sys.exit(main())
