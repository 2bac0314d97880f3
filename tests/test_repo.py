"""What holds for the repository as a whole: links, sizes, and what must not be in it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from penstock import errors
from penstock.workspace import STAGES

PAGES = [
    Path("README.md"),
    *sorted(Path("docs").rglob("*.md")),
    *sorted(Path("examples").rglob("*.md")),
]
TRACKED = subprocess.run(
    ["git", "ls-files"], capture_output=True, text=True, check=True
).stdout.split("\n")[:-1]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_relative_link_of_a_page_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())

    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


def test_every_exit_code_and_stage_is_explained():
    page = Path("docs/how-it-works.md").read_text()
    codes = {
        cls.exit_code
        for cls in vars(errors).values()
        if isinstance(cls, type) and hasattr(cls, "exit_code")
    }

    assert [code for code in codes - {1} if f"| {code} |" not in page] == []
    assert [stage for stage in STAGES if f"| {stage} |" not in page] == []


def test_no_module_grows_past_600_lines():
    lengths = {
        path: len(Path(path).read_text().splitlines())
        for path in TRACKED
        if path.startswith("penstock/") and path.endswith(".py")
    }

    assert {path: count for path, count in lengths.items() if count > 600} == {}


def test_the_lock_has_hashes_and_no_addresses():
    lock = Path("requirements.lock").read_text()

    assert "--hash=sha256:" in lock
    assert re.findall(r"https?://|--index-url|--find-links", lock) == []
