"""A real browser, for pages as people see them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
)


class Browser:
    """Headless Chromium with a profile of its own."""

    def __init__(self, program: str, folder: Path) -> None:
        self._command = [program, *QUIET, f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr"]

    def page(self, url: str) -> str:
        """The document after scripts and styles; fails when the browser refused a part of the page."""
        done = subprocess.run([*self._command, "--dump-dom", url], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        complaints = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert not complaints, complaints
        return done.stdout

    def picture(self, url: str, file: Path, *, width: int = 1000, height: int = 700) -> None:
        """A screenshot as PNG."""
        size = f"--window-size={width},{height}"
        subprocess.run([*self._command, size, f"--screenshot={file}", url], check=True, capture_output=True, timeout=60)


def find_browser(folder: Path) -> Browser:
    """Chromium on this machine; skips without it, and fails where CI ought to have installed it."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium, which tests/system-packages installs")
        pytest.skip("needs Chromium")
    return Browser(program, folder)
