from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from makers import shop_spec

COMMAND = [sys.executable, "-m", "penstock"]
ENVIRONMENT = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}


def run(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=120,
        **options,
    )


VERBS = (
    "run",
    "merge",
    "fit",
    "convert",
    "train",
    "evaluate",
    "report",
    "plan",
    "schema",
    "serve",
    "dataset",
    "recordio",
)


def test_help_names_every_verb_and_exit_code():
    shown = run("--help").stdout

    assert [verb for verb in VERBS if f"\n  {verb} " not in shown] == []
    assert "Exit codes: 0 done, 2 your spec" in shown


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_help_of_its_own(verb):
    shown = run(verb, "--help")

    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(f"Usage: python -m penstock {verb}")


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['penstock', '--help']\n"
        "from penstock.cli import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "heavy = {'pyspark', 'pandas', 'pyarrow', 'numpy', 'matplotlib', 'xgboost', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert shown.stdout.splitlines()[-1] == "[]"


def test_the_schema_describes_every_top_level_key():
    schema = json.loads(run("schema").stdout)

    assert schema["required"] == ["name", "task", "label", "sources", "merge", "train"]
    assert schema["additionalProperties"] is False


def test_a_wrong_spec_ends_with_2_and_all_its_problems(tmp_path):
    body = shop_spec(task="binry")
    body["merge"]["wheer"] = "x"
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(body, sort_keys=False))

    ended = run("run", "p.yaml", cwd=tmp_path)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "error: p.yaml: 2 problems\n"
        "  line 2, task: found 'binry', expected 'binary', 'multiclass' or 'regression'; did you mean 'binary'?\n"
        "  line 19, merge.wheer: unknown key; did you mean 'where'?\n"
    )


def test_a_later_stage_alone_says_what_to_run_first(tmp_path):
    (tmp_path / "p.yaml").write_text(yaml.safe_dump(shop_spec()))

    ended = run("fit", "p.yaml", cwd=tmp_path)

    assert ended.returncode == 2
    assert ended.stderr == (
        "error: stage 'merge' of pipeline 'shop' has not finished below '.'\n"
        "  run it first: penstock merge p.yaml --root .\n"
    )


def test_a_prefix_without_a_manifest_is_not_a_dataset(tmp_path):
    (tmp_path / "train").mkdir()

    ended = run("dataset", "verify", "train/", cwd=tmp_path)

    assert ended.returncode == 2
    assert "no manifest" in ended.stderr


def test_the_version_is_the_packages():
    assert run("--version").stdout == "penstock 0.1.0\n"


def test_jobs_are_short_and_do_nothing_when_imported():
    jobs = sorted(Path("jobs").glob("*.py"))

    assert [job.stem for job in jobs] == ["convert", "evaluate", "fit", "merge", "report", "train"]
    assert max(len(job.read_text().splitlines()) for job in jobs) <= 40
    assert not Path("jobs/__init__.py").exists()
