"""``penstock plan`` predicts what a run then does, and writes nothing."""

from __future__ import annotations

import json

import pytest
from test_pipeline import job, lake, spec

from penstock.preview import show_plan


@pytest.mark.usefixtures("spark")
def test_the_preview_says_what_the_run_then_does(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    root = lake(tmp_path)
    path = spec(root)

    show_plan(spec=path, root=str(root))

    told = capsys.readouterr().out
    assert {entry.name for entry in root.iterdir()} == {"raw", "pipeline.yaml"}
    assert "id bigint*, day date*, customer string*, amount double*, paid boolean*" in told
    assert job("merge", root, path) == 0
    assert job("fit", root, path) == 0
    records = {
        stage: json.loads((root / "runs" / "shop" / f"{stage}.json").read_text())
        for stage in ("merge", "fit")
    }
    fitted = records["fit"]["details"]
    assert f"dataset: {fitted['width']} columns, {fitted['layout']}, about " in told
    assert "fit: one scan in 1 task; about 0.0 MB of states on the driver\n" in told
    shown = [line.split() for line in told.splitlines()]
    assert {split: [split, f"{rows:,}"] for split, rows in records["merge"]["details"]["splits"].items()} == {
        line[0]: line[:2] for line in shown if line and line[0] in ("train", "validation", "test")
    if len(line) == 3}  # fmt: skip
    assert [line[1] for line in shown if line and line[0] in ("merge", "fit", "report")] == [
        "run"
    ] * 3
    capsys.readouterr()

    show_plan(spec=path, root=str(root))

    told = capsys.readouterr().out
    assert told.count("be skipped: nothing has changed") == 2
