"""`syncline`, and `python -m syncline`: the command line."""

import sys

from syncline.cli.plain import run_broker, understood


def main() -> int:
    """Run a command; its exit status."""
    if sys.argv[1:2] == ["broker"] and (given := understood(sys.argv[2:])) is not None:
        return run_broker(given)
    from syncline.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
