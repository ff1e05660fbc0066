"""`python -m syncline_shop.order` runs one instance."""

import sys

from syncline_shop.order.app import main

if __name__ == "__main__":
    sys.exit(main())
