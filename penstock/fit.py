"""The fit stage: one scan of the train split -> statistics -> plan.json and profile.json.

    fit(session, curated, spec)              one Spark job of pyarrow readers

``penstock.planning.build_plan`` is its pure half: merged statistics of several days do as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from penstock import auto, balance, leaks, storage
from penstock.cells import family
from penstock.columnprofile import profile, profile_json
from penstock.columns import KINDS
from penstock.columns.target import completed
from penstock.curated import Curated, RowRange, row_ranges
from penstock.earlier import Earlier
from penstock.encode import LabelRule
from penstock.fitchecks import check
from penstock.plan import FeaturePlan
from penstock.planning import build_plan, features
from penstock.spec import Spec
from penstock.states import Kind, Wanted
from penstock.statistics import Collector, Statistics, merge
from penstock.times import is_time

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = [
    "Fitted",
    "check",
    "collect",
    "collect_and_probe",
    "fit",
    "learned",
    "proposed",
    "scan_tasks",
    "wanted_states",
]

BATCH_ROWS = 65_536
TASK_CELLS = 2**22
MIN_TASK_ROWS = 16_384
FEW_TASKS = 8
MAX_TASKS = 1024
OTHER_CATEGORIES = 4096
BY_FAMILY: Mapping[str, Kind] = {
    "number": "numeric",
    "boolean": "categorical",
    "string": "categorical",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """What fit has learned.

    Attributes:
        plan: How to encode.
        proposal: The features that were chosen; None: the spec names its own.
        statistics: What the plan was made from; merges with those of further rows.
        profile: Body of profile.json.
        leaks: How well each feature alone tells the label; best first.
        warnings: What a person is to be told.
    """

    plan: FeaturePlan
    statistics: Statistics
    profile: Mapping[str, Any]
    leaks: tuple[leaks.Finding, ...] = ()
    warnings: tuple[str, ...] = ()
    proposal: auto.Proposal | None = None

    def save(self, uri: str) -> None:
        """Write statistics.json, profile.json and, last, plan.json below ``uri``.

        Features that were chosen stand in features.yaml besides.
        """
        contents = {
            "statistics.json": self.statistics.to_json(),
            "profile.json": profile_json(self.profile),
        }
        if self.proposal is not None:
            contents[auto.FILE] = self.proposal.section()
        for name, content in contents.items():
            storage.write_bytes(storage.join(uri, name), content.encode())
        self.plan.save(uri)


def fit(
    session: SparkSession, curated: Curated, spec: Spec, *, onto: Earlier | None = None
) -> Fitted:
    """Learn the plan from the train split, and profile all its columns. Runs exactly one Spark job.

    Without features in the spec, they are chosen from the same scan: see ``penstock.auto``.

    With ``onto`` the rows add to those of an earlier fit, of which none is read again: counts,
    categories, quantiles and distinct counts are those of one fit of all rows, means and variances
    equal them up to rounding (1e-12 of the value in the tests).

    Equal rows give equal bytes: the parts of the scan depend on the number of rows and columns, not
    on the machine. Memory of a task is a batch and the states; no row comes to the driver.

    Raises:
        InputError: The features or the label do not fit the table, or the matrix would be too wide;
            or ``onto`` counts these rows already, or collected other things of its rows.
        EmptyTableError: The train split has no rows.
        DataError: The train split's values break what the spec asks of them, or one feature alone
            tells the label and split.on_leak is refuse.
    """
    if onto is not None and not spec.features:
        spec = spec.model_copy(update={"features": onto.features()})
    label = check(curated, spec)
    wanted = wanted_states(curated, spec, label)
    parts = {} if onto is None else {"onto": onto.parts(curated.digest)}
    statistics, probes = _scan(session, curated, spec, wanted, label)
    if onto is not None:
        statistics = onto.joined(statistics)
    return learned(statistics, probes, curated, spec, noted=parts)


def learned(
    statistics: Statistics,
    probes: Sequence[leaks.Probe],
    curated: Curated,
    spec: Spec,
    *,
    noted: Mapping[str, Any] | None = None,
) -> Fitted:
    """Return what the statistics of a scan teach; without features in the spec, they are chosen.

    Args:
        statistics: As ``wanted_states`` asked for them.
        probes: Of the same scan.
        curated: The table.
        spec: The pipeline.
        noted: What the plan says of its origin besides.

    Raises:
        InputError, DataError: As ``fit`` says.
    """
    label, proposal = check(curated, spec), None
    if not spec.features:
        proposal = proposed(statistics, spec, label, probes)
        spec = proposal.applied(spec)
        settled = wanted_states(curated, spec, label)
        statistics = auto.settled(statistics, settled, _asked(settled, label))
    origin = {"curated": curated.digest, "split": "train"} | dict(noted or {})
    plan = build_plan(statistics, spec, fitted_on=origin | {"rows": statistics.rows})
    if classes := balance.noted(statistics, spec, plan.label):
        plan = replace(plan, fitted_on={**plan.fitted_on, **classes})
    if proposal is not None:
        plan = replace(plan, note=f"features chosen automatically; {auto.FILE} says why")
    found = leaks.single_features(statistics, plan.label, plan.input_columns, probes, spec.split)
    return Fitted(
        leaks=tuple(found),
        warnings=(*(proposal.warnings if proposal else ()), *leaks.told(found, spec.split)),
        plan=plan,
        proposal=proposal,
        statistics=statistics,
        profile=profile(
            statistics,
            label=spec.label.column,
            features=plan.input_columns,
            key=curated.key,
            table=curated.names(),
            dropped=(proposal.left_out if proposal else {}) | dict(plan.dropped),
            reasons=proposal.reasons if proposal else None,
        ),
    )


def wanted_states(curated: Curated, spec: Spec, label: LabelRule) -> list[Wanted]:
    """Return what to collect of every column: features and label by use, others by type.

    Without features in the spec, enough of each column to choose from.
    """
    # Rows that the split keeps together share a fold as well, or a target encoding would tell of them.
    key = spec.split.columns or curated.key
    if not spec.features:
        return auto.candidates(curated.columns, spec, label, key)
    rules = dict(features(spec))
    wanted: list[Wanted] = []
    for name, kind in curated.columns:
        if name == label.column:
            use: Kind = "numeric" if label.numeric else "categorical"
            wanted.append(Wanted(name=name, type=kind, kind=use, cap=OTHER_CATEGORIES))
        elif name in rules:
            asked = KINDS[rules[name].kind].wanted(name, kind, rules[name])
            compared = spec.select.drop_duplicates
            asked = [replace(each, compared=compared and not each.inputs) for each in asked]
            wanted += [completed(each, key=key, label=label) for each in asked]
        else:
            use = "datetime" if is_time(kind) else BY_FAMILY.get(family(kind), "other")
            wanted.append(Wanted(name=name, type=kind, kind=use, cap=OTHER_CATEGORIES))
    return wanted


def collect(batches: Iterable[Any], wanted: Sequence[Wanted], label: LabelRule) -> Statistics:
    """Return the statistics of pyarrow RecordBatches that have the wanted columns and the label.

    Memory is a batch and the states.
    """
    # Class numbers of more than two classes have no meaningful mean.
    number = label.task != "multiclass"
    collector = Collector(wanted, label=label.column if number else None)
    for batch in batches:
        values = label.values(batch.column(label.column))[0]
        collector.add(batch, values if number else None, target=values)
    return replace(collector.finish(), asked=_asked(wanted, label))


def collect_and_probe(
    batches: Iterable[Any], spec: Spec, wanted: Sequence[Wanted], label: LabelRule
) -> tuple[Statistics, list[leaks.Probe]]:
    """Return the statistics, as ``collect`` does, and how well each feature tells the first rows' classes.

    Without features in the spec, every column is probed.
    """
    chosen = {column for column, _ in features(spec)} or {each.name for each in wanted}
    chosen -= {label.column}
    probed = [each for each in wanted if each.name in chosen and not each.inputs]
    probes: list[leaks.Probe] = []
    return collect(_watched(batches, probed, label, probes), wanted, label), probes


def _asked(wanted: Sequence[Wanted], label: LabelRule) -> dict[str, str]:
    """Return a digest of what is collected of each column."""
    asked = {each.name: each.digest for each in wanted}
    asked[label.column] = f"{asked.get(label.column, '')} {label.task} {label.classes!r}"
    return asked


def proposed(
    statistics: Statistics, spec: Spec, label: LabelRule, probes: Sequence[leaks.Probe]
) -> auto.Proposal:
    """Return the features that are chosen for a spec without any.

    Args:
        statistics: As ``wanted_states`` asked for them.
        spec: The pipeline.
        label: Before the fit.
        probes: Of the same scan.
    """
    if label.task == "multiclass" and label.classes is None:
        label = replace(label, classes=tuple(range(statistics.columns[label.column].distinct)))
    columns = [name for name in statistics.columns if name != label.column]
    told = leaks.single_features(statistics, label, columns, probes, spec.split)
    suspects = {each.columns[0]: each.problem for each in told if each.problem is not None}
    return auto.propose(statistics, spec, leaks=suspects)


def _scan(
    session: SparkSession,
    curated: Curated,
    spec: Spec,
    wanted: Sequence[Wanted],
    label: LabelRule,
) -> tuple[Statistics, list[leaks.Probe]]:
    """Return the statistics of the train split, and what was probed. Runs exactly one Spark job."""
    from penstock.spark import map_tasks

    names = list(dict.fromkeys(name for each in wanted for name in each.reads))
    coded = _coded(wanted)

    def run(rows: RowRange, _attempt: int) -> tuple[Statistics, list[leaks.Probe]]:
        batches = rows.batches(names, batch_rows=BATCH_ROWS, coded=coded)
        return collect_and_probe(batches, spec, wanted, label)

    parts = scan_tasks(curated)
    ranges = row_ranges(curated, "train", parts)
    found = map_tasks(session, ranges, run, what="fit: statistics")
    probes = [each for _, probes in found for each in probes]
    return merge([statistics for statistics, _ in found]).trimmed(), probes


def _coded(wanted: Sequence[Wanted]) -> list[str]:
    """Return the columns of texts of which nothing but categories is collected."""
    others = {name for each in wanted if each.kind != "categorical" for name in each.reads}
    return [
        each.name
        for each in wanted
        if each.type in ("string", "large_string") and not each.inputs and each.name not in others
    ]


def _watched(
    batches: Iterable[Any], probed: Sequence[Wanted], label: LabelRule, probes: list[leaks.Probe]
) -> Iterator[Any]:
    """Yield the batches; add to ``probes`` how well the features tell the classes on the first one."""
    for batch in batches:
        if not probes and label.task != "regression":
            codes = label.values(batch.column(label.column))[0]
            classes = None if label.classes is None else len(label.classes)
            probes.append(leaks.probe(batch, probed, codes, classes))
        yield batch


def scan_tasks(curated: Curated) -> int:
    """Return how many tasks scan the train split: of its size only, so that results do not vary."""
    rows, columns = curated.rows("train"), len(curated.columns)
    by_size = math.ceil(rows * columns / TASK_CELLS)
    at_least = min(FEW_TASKS, math.ceil(rows / MIN_TASK_ROWS))
    return min(max(by_size, at_least), MAX_TASKS)
