"""`python -m syncline_shop.user` runs one instance."""

import sys

from syncline_shop.user.app import main

if __name__ == "__main__":
    sys.exit(main())
