"""Runs a module as a child process that ends when its parent ends, however the parent ended.

    python -m syncline.cli.tether FD MODULE [ARGUMENT ...]

FD is the read end of a pipe whose write end only the parent holds: the kernel closes it even when the
parent is killed, and that is the sign.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading

GRACE_SECONDS = 4


def _end_with_parent(fd: int) -> None:
    os.read(fd, 1)
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Become the module named on the command line."""
    fd, module = int(sys.argv[1]), sys.argv[2]
    os.set_inheritable(fd, False)
    threading.Thread(target=_end_with_parent, args=(fd,), name="tether", daemon=True).start()
    sys.argv = sys.argv[2:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
