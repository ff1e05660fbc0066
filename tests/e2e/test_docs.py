"""Every command of the tutorial is typed, in the order of its pages, and must print what the pages show."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.pages import Reader, SavedFile, Step, matches, read_page
from tests.servers import missing

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("tutorial/[0-9]*.md"))
ALL = [ROOT / "README.md", ROOT / "DESIGN.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]

_LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


class Course:
    """One reader for all pages; a page that is asked for alone is read after those before it."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._ahead = list(PAGES)
        self._stuck: Path | None = None

    def read(self, page: Path) -> None:
        while page in self._ahead:
            assert self._stuck is None, f"needs {self._stuck.name}, which failed"
            following = self._stuck = self._ahead[0]
            self._reader.follow(following)
            self._stuck = None
            self._ahead.pop(0)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    for tool in ("bash", "curl", "jq", "sqlite3"):
        if shutil.which(tool) is None:
            missing(f"no {tool}: install it")
    reader = Reader(tmp_path_factory.mktemp("reader"))
    try:
        yield Course(reader)
    finally:
        said = reader.leave()
    assert not said or "nothing is left running" in said


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_happens(course: Course, page: Path) -> None:
    course.read(page)


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_links_lead_somewhere_and_tests_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in _LINK.findall(text):
        assert (page.parent / target).exists(), target
    for file, name in _TEST.findall(text):
        assert (ROOT / file).exists(), file
        assert not name or f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), name


def test_no_scenario_and_no_pitfall_is_forgotten() -> None:
    index = (DOCS / "tutorial" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (SC-\d\d)", index, re.MULTILINE) == [f"SC-{number:02}" for number in range(1, 22)]
    failures = PAGES[-1].read_text(encoding="utf-8")
    assert re.findall(r"^\| (DEF-\d\d)", failures, re.MULTILINE) == [f"DEF-{number:02}" for number in range(1, 37)]


def test_json_of_the_pages_is_json() -> None:
    files = [item for page in PAGES for item in read_page(page.read_text("utf-8")) if isinstance(item, SavedFile)]
    assert files
    for file in files:
        if file.name.endswith(".json"):
            assert json.loads(file.text)


def test_a_page_is_files_and_commands_with_their_answers() -> None:
    text = (
        "# T\n\n```json a.json\n{}\n```\n\n```console\n$ one \\\n    two\n>typed\nout\n$ three\nx ...\n^C\nend\n```\n"
    )
    assert read_page(text) == [
        SavedFile(4, "a.json", "{}\n"),
        Step(8, "one two", ["typed"], ["out"]),
        Step(12, "three", [], ["x ...", "end"], interrupted=True),
    ]


@pytest.mark.parametrize(
    ("expected", "output", "same"),
    [
        (["a ... c"], "a b c\n", True),
        (["a ... c"], "a b\n", False),
        (["a", "...", "d"], "a\nb\nc\nd\n", True),
        (["a", "...", "b"], "a\nb\n", True),
        (["a", "  ...", "b"], "a\nx\ny\nb\n", True),
        (["a"], "a\nb\n", False),
        (["..."], "", True),
        ([], "", True),
        ([], "a\n", False),
        (["1.5 (x)"], "1.5 (x)\n", True),
        (["1.5"], "145\n", False),
    ],
)
def test_dots_stand_for_anything_and_nothing_else_does(expected: list[str], output: str, same: bool) -> None:
    assert matches(expected, output) is same


def test_a_wrong_answer_names_page_and_line(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# T\n\n```console\n$ cat\n>is\nought\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md, line 4: cat\nis to print:\nought\nprinted:\nis"):
        Reader(tmp_path).follow(page)
