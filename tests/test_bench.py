"""The benchmarks run: results, their page, and what they promise to say."""

from __future__ import annotations

import json
import subprocess
import sys


def test_a_quick_run_checks_itself_and_writes_json_and_a_page(tmp_path):
    out = tmp_path / "results"

    ended = subprocess.run(
        [sys.executable, "bench/run.py", "--quick", "--only", "fifo", "--out", str(out)],
        capture_output=True,
        text=True,
        check=True,
    )

    found = json.loads((out / "fifo.json").read_text())
    assert found["quick"] is True
    assert {each["rows"] for each in found["numbers"]["reads"]} == {1_640_000}
    assert [(each["wanted"], each["met"]) for each in found["targets"]] == [(250, True)]
    assert set(found["machine"]) == {
        "processor",
        "memory",
        "system",
        "versions",
        "commit",
        "date",
    }
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| recordio.read |" in page
    assert "a quick run" in page
    assert "cat > /dev/null" in ended.stdout
