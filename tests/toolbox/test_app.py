"""The verbs of ``penstock recordio``: help, and the files that others wrote."""

from __future__ import annotations

import subprocess
import sys

import pytest

from penstock.toolbox.progress import shown

VERBS = ("head", "stat", "verify", "convert", "diff")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_teaches_with_examples(said, verb):
    code, printed = said(verb, "--help")

    assert code == 0
    assert f"    penstock recordio {verb} " in printed


def test_the_command_is_part_of_penstock(here):
    ended = subprocess.run(
        [sys.executable, "-m", "penstock", "recordio", "verify", "nope"],
        capture_output=True,
        text=True,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (
        2,
        "",
        "error: read: nothing found at 'nope'\n  check the path; '-' reads standard input\n",
    )


def test_a_bar_on_a_terminal_only(capsys):
    from rich.console import Console

    for total in (100, None):
        with shown("stat", total, Console(force_terminal=True, width=80)) as advance:
            advance(60)
    assert capsys.readouterr().out.count("stat") >= 2

    with shown("stat", 100, Console(force_terminal=False)) as advance:
        advance(60)
    assert capsys.readouterr().out == ""
