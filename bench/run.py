"""Run the benchmarks: ours and the peers' in one run, correctness checked before any ratio.

    python bench/run.py [--quick] [--only codec|fifo|spark|plan] [--out bench/results]

Prints tables, writes ``<name>.json`` into the folder and RESULTS.md beside it. A quick run is for
trying the benchmarks out; it writes to bench/.data unless told otherwise.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from jars import PeerMissing
from measure import Outcome, lines_of
from rich.console import Console
from rich.table import Table as Shown

HERE = Path(__file__).parent
NAMES = {"codec": "codec", "fifo": "fifo", "spark": "spark_writer", "plan": "feature_plan"}


def main() -> int:
    """Run what was asked for; 1 when a target is missed, unless the run is quick."""
    flags = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    flags.add_argument("--quick", action="store_true", help="small data, few rounds")
    flags.add_argument(
        "--only", choices=NAMES, action="append", help="one of them; may be repeated"
    )
    flags.add_argument("--out", type=Path, help="where results go")
    chosen = flags.parse_args()
    scratch = HERE / ".data"
    scratch.mkdir(exist_ok=True)
    out = chosen.out or (scratch / "results" if chosen.quick else HERE / "results")
    console = Console()
    missed = 0
    for name in chosen.only or NAMES:
        try:
            with console.status(f"{name} ..."):
                outcome: Outcome = importlib.import_module(NAMES[name]).run(
                    quick=chosen.quick, folder=scratch
                )
        except PeerMissing as error:
            console.print(f"{name} did not run: {error}", style="red", markup=False)
            missed += 1
            continue
        outcome.write(out, quick=chosen.quick)
        _show(console, outcome)
        missed += sum(not target.met for target in outcome.targets)
    known = [out / f"{name}.json" for name in NAMES]
    found = [json.loads(path.read_text()) for path in known if path.exists()]
    page = out.parent / "RESULTS.md"
    page.write_text("\n".join(lines_of(found)))
    console.print(f"results: {out}, {page}")
    return int(missed > 0 and not chosen.quick)


def _show(console: Console, outcome: Outcome) -> None:
    for table in outcome.tables:
        shown = Shown(*table.columns, title=table.title, caption=table.note or None)
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)
    targets = Shown("", "found", "wanted", "met", title=f"{outcome.name}: targets")
    for target in outcome.targets:
        targets.add_row(*target.cells(), style=None if target.met else "red")
    console.print(targets)


if __name__ == "__main__":
    sys.exit(main())
