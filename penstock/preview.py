"""``penstock plan``: what would run, predicted with the code that will run; writes nothing.

The sources are read and typed, the joins analysed, and the real statistics are collected over the
merged but unwritten train rows, so the predicted width and sizes are those of the real plan.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from penstock import specfile, stages
from penstock.curated import SPLITS, Curated, CuratedFile
from penstock.errors import DataError, InputError
from penstock.merge import plan_merge
from penstock.spark import session, translated
from penstock.split import placed
from penstock.workspace import Workspace

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from penstock.auto import Proposal
    from penstock.plan import FeaturePlan
    from penstock.sources import Table as Source
    from penstock.spec import Spec

__all__ = ["Prediction", "features_section", "predict", "show_plan", "show_proposal"]


def show_plan(*, spec: str, root: str) -> None:
    """Print what a run would do. Runs the jobs of reading, one to count splits, one to collect.

    Raises:
        PenstockError: As reading and fitting would.
    """
    workspace = Workspace(root=root, file=specfile.load(spec))
    console = Console()
    with translated(), session(f"{workspace.name}: plan") as spark:
        tables, rows = plan_merge(spark, workspace.file.spec, workspace.inputs())
        try:
            _show_sources(console, tables)
            _show_joins(console, workspace.file.spec)
            found = predict(workspace.file.spec, rows)
        finally:
            for table in tables.values():
                table.release()
    _show_features(console, found.plan)
    tasks = f"{found.scan_tasks:,} {'task' if found.scan_tasks == 1 else 'tasks'}"
    size = found.driver_bytes / 1e6
    console.print(f"fit: one scan in {tasks}; about {size:,.1f} MB of states on the driver\n")
    if found.proposal is not None:
        show_proposal(console, found.proposal)
    _show_dataset(console, workspace.file.spec, found.counts, found.plan)
    _show_models(console, workspace.file.spec)
    _show_stages(console, workspace)


def features_section(*, spec: str, root: str) -> str:
    """Return the features section that a spec without one gets, as YAML. Runs the jobs of ``show_plan``.

    Raises:
        PenstockError: As reading and fitting would.
        InputError: The spec has a features section.
    """
    workspace = Workspace(root=root, file=specfile.load(spec))
    if workspace.file.spec.features:
        raise InputError(
            f"spec {spec!r}: it has a features section, expected none\n"
            "  take it out, and this prints the one that would be chosen"
        )
    with translated(), session(f"{workspace.name}: features") as spark:
        tables, rows = plan_merge(spark, workspace.file.spec, workspace.inputs())
        try:
            found = predict(workspace.file.spec, rows)
        finally:
            for table in tables.values():
                table.release()
    return "" if found.proposal is None else found.proposal.section()


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """What a run would make of merged rows.

    Attributes:
        counts: Rows of each split.
        plan: That fit would make.
        proposal: The features that it would choose; None: the spec names its own.
        scan_tasks: Tasks of the fit's one scan.
        state_bytes: Of what the scan learns of features and label, as JSON, which is larger than in
            memory; a task's states are no larger.
    """

    counts: Mapping[str, int]
    plan: FeaturePlan
    proposal: Proposal | None
    scan_tasks: int
    state_bytes: int

    @property
    def driver_bytes(self) -> int:
        """About what the fit holds on the driver: the states of every task, and of all of them."""
        return (self.scan_tasks + 1) * self.state_bytes


def predict(spec: Spec, rows: DataFrame) -> Prediction:
    """Return the rows of each split and the plan that fit would make. Runs two Spark jobs.

    Raises:
        InputError: Features or label do not fit the rows, or the matrix would be too wide.
        DataError: No row is left, or values break what the spec asks of them.
    """
    from pyspark.sql.pandas.types import to_arrow_schema

    from penstock import fit, planning

    sided = placed(rows, spec).rows
    rows_of = {row["split"]: row["count"] for row in sided.groupBy("split").count().collect()}
    counts = {name: int(rows_of.get(name, 0)) for name in SPLITS}
    columns = tuple((field.name, str(field.type)) for field in to_arrow_schema(rows.schema))
    unwritten = Curated(
        uri="(not written)",
        files=tuple(
            CuratedFile(path=name, split=name, rows=count, size_bytes=0)
            for name, count in counts.items()
        ),
        key=spec.merge.key,
        columns=columns,
    )
    label = fit.check(unwritten, spec)
    used = {column for column, _ in planning.features(spec)} | {spec.label.column}
    states = fit.wanted_states(unwritten, spec, label)
    wanted = [s for s in states if s.inputs or s.name in used or not spec.features]
    names = list(dict.fromkeys(name for state in wanted for name in state.reads))

    def collect(batches: Iterable[Any]) -> Iterator[Any]:
        import pyarrow as pa

        found, probes = fit.collect_and_probe(batches, spec, wanted, label)
        told = json.dumps([{name: sums.tolist() for name, sums in each.items()} for each in probes])
        yield pa.RecordBatch.from_arrays(
            [pa.array([found.to_json()]), pa.array([told])], ["s", "p"]
        )

    from penstock.statistics import Statistics, merge

    train = sided.filter(sided["split"] == "train").select(*[f"`{name}`" for name in names])
    found = train.mapInArrow(collect, "s string, p string").collect()
    if not found:
        raise DataError(
            "merge keeps no row for the train split\n  check merge.where and the sources"
        )
    statistics = merge([Statistics.from_json(row["s"]) for row in found]).trimmed()
    probes = [
        {name: np.array(sums) for name, sums in each.items()}
        for row in found
        for each in json.loads(row["p"])
    ]
    fitted = fit.learned(statistics, probes, unwritten, spec)
    return Prediction(
        counts=counts,
        plan=fitted.plan,
        proposal=fitted.proposal,
        scan_tasks=fit.scan_tasks(unwritten),
        state_bytes=len(statistics.to_json()),
    )


def _table(console: Console, title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    # Not the table's own title: that one wraps at the table's width.
    console.print(f"[italic]{title}[/]", highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        justify = "right" if column in right else "left"
        table.add_column(column, justify=justify, overflow="fold")  # type: ignore[arg-type]
    return table


def _show_sources(console: Console, tables: Mapping[str, Source]) -> None:
    shown = _table(
        console, "sources (* inferred)", "source", "files", "MB", "columns", right=("files", "MB")
    )
    for name, table in tables.items():
        marked = (f"{c} {kind}{'*' * (c in table.inferred)}" for c, kind in table.types.items())
        shown.add_row(name, f"{table.files:,}", f"{table.size_bytes / 1e6:,.1f}", ", ".join(marked))
    console.print(shown, "")
    for table in tables.values():
        for note in table.notes:
            console.print(f"[yellow]note[/] {note}", highlight=False)


def _show_joins(console: Console, spec: Spec) -> None:
    shown = _table(
        console, f"joins onto {spec.merge.base}", "source", "on", "expect", "on a repeated key"
    )
    for join in spec.merge.joins:
        on = ", ".join(
            left if left == right else f"{left} = {right}" for left, right in join.key_pairs()
        )
        repeated = f"largest {join.latest_by}" if join.latest_by else "refused"
        shown.add_row(join.source, on, join.expect, repeated)
    console.print(shown, "")


def _show_features(console: Console, plan: FeaturePlan) -> None:
    shown = _table(
        console, "features", "column", "kind", "missing becomes", "outputs", right=("outputs",)
    )
    for column in plan.columns:
        fill = getattr(column, "fill", None)
        value = "" if fill is None else f"{fill.value} ({fill.rule})"
        value = "refused" if fill is not None and fill.value is None else value
        shown.add_row(column.name, column.kind, value, f"{len(column.names()):,}")
    console.print(shown, "")
    for name, reason in plan.dropped.items():
        console.print(f"[yellow]left out[/] {name}: {reason}", highlight=False)


def show_proposal(console: Console, proposal: Proposal) -> None:
    """Print every column with what becomes of it and why, and the section to paste."""
    shown = _table(console, "features chosen from the statistics", "column", "kind", "why")
    for each in proposal.choices:
        shown.add_row(each.column, each.kind or "[yellow]left out[/]", escape(each.reason))
    console.print(shown, "")
    for warning in proposal.warnings:
        console.print(f"[yellow]warning[/] {escape(warning)}", highlight=False)
    console.print("[italic]to be pasted into the spec, and changed[/]", highlight=False)
    console.print(proposal.section(), markup=False, highlight=False, soft_wrap=True)


def _show_dataset(
    console: Console, spec: Spec, counts: Mapping[str, int], plan: FeaturePlan
) -> None:
    title = (
        f"dataset: {plan.width:,} columns, {plan.layout}, about {plan.row_bytes:,.0f} bytes a row"
    )
    shown = _table(console, title, "split", "rows", "MB, about", right=("rows", "MB, about"))
    for split, rows in counts.items():
        shown.add_row(split, f"{rows:,}", f"{rows * plan.row_bytes / 1e6:,.1f}")
    console.print(shown, "")


def _show_models(console: Console, spec: Spec) -> None:
    shown = _table(console, "models", "model", "input", "hyperparameters", "gates")
    for model in spec.train:
        hyperparameters = ", ".join(f"{k} {v}" for k, v in model.hyperparameters.items())
        gates = ", ".join(f"{k} {v}" for k, v in (spec.evaluate.gates | model.gates).items())
        shown.add_row(model.label, model.input_mode, hyperparameters, gates)
    console.print(shown, "")


def _show_stages(console: Console, workspace: Workspace) -> None:
    shown = _table(console, "stages", "stage", "would")
    for stage, unchanged in stages.unchanged(workspace).items():
        shown.add_row(stage, "be skipped: nothing has changed" if unchanged else "run")
    console.print(shown)
