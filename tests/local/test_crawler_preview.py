"""``penstock catalog preview``: tables that fit a terminal, and warnings that say what to do."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from penstock.cli import app
from penstock.errors import MissingFileError
from penstock.local.crawler.preview import preview, show
from penstock.local.crawler.surprises import surprises

CSV = "id,name,price\n1,a,2.5\n2,b,3.5\n"
JSON = '{"id": 1}\n'


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, body in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(body)
    return folder


# Files below a folder, and what the only warning says: what it is about, what happens, what to do.
CASES: dict[str, tuple[dict[str, str], tuple[str, str, str]]] = {
    "text without a header": (
        {"t/a.csv": "code,name\nUA,United\n"},
        ("t", "all its columns are text, so the first row is taken for data, not for a header: "
         "'col0', 'col1'", "give the crawler a CSV classifier with ContainsHeader PRESENT"),
    ),
    "quotes": (
        {"t/a.csv": 'n,name\n1,"x, y"\n'},
        ("t", "it has quoted cells; LazySimpleSerDe hands out the quotes, and cuts at delimiters "
         "inside them",
         "give the crawler a CSV classifier with QuoteSymbol and Serde OpenCSVSerDe"),
    ),
    "times": (
        {"t/a.csv": "n,day,at\n1,2013-01-01,2013-01-01 05:00:00\n2,,2013-01-01T06:00:00Z\n"},
        ("t", "dates and times are text: 'day', 'at'",
         "cast them in SQL, or change the type in the catalog and crawl with UpdateBehavior LOG"),
    ),
    "times in JSON": (
        {"t/a.json": '{"day": "2013-01-01", "other": "x"}\n{"day": null}'},
        ("t", "dates and times are text: 'day'",
         "cast them in SQL, or change the type in the catalog and crawl with UpdateBehavior LOG"),
    ),
    "mixed files": (
        {"t/a.csv": CSV, "t/b.json": JSON},
        ("{root}/t/", "its files differ in schema, format or header, so each is a table: "
         "'a_csv', 'b_json'", "put each kind into a folder of its own"),
    ),
    "a file beside folders": (
        {"t/a.csv": CSV, "t/p=1/a.json": JSON, "t/p=2/a.json": JSON},
        ("{root}/t/", "files stand beside folders, and each is a table of its own: 'a_csv'",
         "move them into a folder, or leave them out with a pattern in Exclusions"),
    ),
    "names in lower case": (
        {"t/a.csv": "Id,id,n\n1,2,3\n"},
        ("t", "columns have the same name in lower case: 'id'; Athena refuses such a table",
         "rename one of them in the files"),
    ),
    "a key that is a column": (
        {"t/id=1/a.csv": CSV, "t/id=2/a.csv": CSV},
        ("t", "a partition key is also a column of the files: 'id'; Athena refuses such a table",
         "rename the folders or the column"),
    ),
    "a partition that is none": (
        {"t/p=1/a.json": JSON, "t/p=2/a.json": JSON, "t/p=3/a.json": '{"x": 1, "y": 2, "z": 3}'},
        ("t", "p=1 is a partition though its schema differs: most of the others are alike",
         "crawl it as a target of its own"),
    ),
    "types of partitions": (
        {"t/p=1/a.json": JSON, "t/p=2/a.json": '{"id": 1.5}'},
        ("t", "partitions disagree on types: 'id (double, int)'",
         'set Partitions.AddOrUpdateBehavior to "InheritFromTable" in Configuration'),
    ),
    "an only folder": (
        {"t/a/f.json": JSON},
        ("t", "a is the only folder at its level, so it is a partition (partition_0), not a table",
         "crawl {root}/t/a/, or set TableLevelConfiguration"),
    ),
    "no format": (
        {"t/a.txt": "some words\n"},
        ("t", "{root}/t/a.txt is UNKNOWN: no classifier knows it",
         "mend it, or leave it out with a pattern in Exclusions"),
    ),
    "rows of different length": (
        {"t/a.csv": "a,b\n1,2\n3,4,5\n6,7\n"},
        ("t", "{root}/t/a.csv is UNKNOWN: it looks like CSV, and is none: row 3 has 3 columns, most "
         "rows have 2", "mend it, or leave it out with a pattern in Exclusions"),
    ),
    "hidden files": (
        {"t/a.json": JSON, "t/_SUCCESS": "x", "t/.tmp/a": CSV},
        ("skipped", "2 files are hidden, like _SUCCESS: their name or a folder's begins with _ or .: "
         "'a', '_SUCCESS'", "nothing, if they hold no data; Athena leaves them out too"),
    ),
    "empty files": (
        {"t/a.json": JSON, "t/b.json": ""},
        ("skipped", "1 file is empty: 'b.json'", "nothing: a crawler leaves them out"),
    ),
    "many files": (
        {f"t/{number}.json": JSON for number in range(105)},
        ("sample", "5 files were counted and not read, as folders have more than are sampled",
         "nothing, if the files of a folder are alike"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_warns_of_what_surprises(tmp_path: Path, case: str) -> None:
    files, expected = CASES[case]
    root = written(tmp_path, files)

    found = [(each.about, each.what, each.remedy) for each in surprises(preview(str(root / "t")))]

    assert found == [tuple(text.replace("{root}", f"file://{root}") for text in expected)]


def test_two_tables_of_one_name_are_told(tmp_path: Path) -> None:
    files = {"x/t/a": JSON, "y/t/a": CSV, "x/u/a": CSV, "y/v/a": '{"k": "w"}'}
    root = written(tmp_path, files)

    told = [(each.about, each.what) for each in surprises(preview(str(root)))]

    assert told == [("t", "2 locations have this table name; all but one get a hash at its end")]


def test_a_clean_lake_has_no_surprises(tmp_path: Path) -> None:
    root = written(tmp_path, {"t/p=1/a.csv": CSV, "t/p=2/a.csv": CSV, "u/a.json": JSON})

    assert surprises(preview(str(root))) == ()


def test_a_path_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError) as caught:
        preview(f"{tmp_path}/none")

    assert "check the path: there is no file at or below it" in str(caught.value)


def test_what_it_prints_fits_a_terminal(tmp_path: Path) -> None:
    wide = ",".join(f"column_{number}" for number in range(30))
    numbers = ",".join("1" for _ in range(30))
    files = {f"events/day=2024-01-{n:02}/a.csv": f"{wide}\n{numbers}\n" for n in range(1, 6)}
    root = written(tmp_path, files | {"airlines/a.csv": "code,name\nUA,United\n"})
    console = Console(width=80, file=io.StringIO())

    show(preview(str(root)), console)

    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    locations = [line for line in lines if "file://" in line]
    assert all(len(line) <= 80 for line in lines if line not in locations)
    text = "\n".join(lines)
    events = next(line for line in lines if line.startswith("│ events"))
    assert events.split() == [
        *("│", "events", "│", "csv", "│", "day", "│", "5", "│", "30", "│", "5", "│", "5", "│")
    ]
    assert "column_0 bigint, column_1 bigint" in text
    assert "partition key day string: 2024-01-01, 2024-01-02, 2024-01-03 ... 2024-01-05" in text
    assert "What may surprise" in text
    assert lines[-1] == "A crawler would make 2 tables of 6 files."


def test_the_command_takes_exclusions_and_levels(tmp_path: Path) -> None:
    root = written(tmp_path, {"a/x/f.csv": CSV, "a/y/f.csv": CSV, "b/x/f.csv": CSV, "b/f.tmp": "?"})
    level = len(root.parts)  # without the root of the disk, and one deeper

    ended = CliRunner().invoke(
        app, ["catalog", "preview", str(root), "--exclude", "**.tmp", "--level", str(level)]
    )

    assert ended.exit_code == 0
    assert ended.stdout.splitlines()[-1] == "A crawler would make 2 tables of 3 files."
    assert "partition key partition_0 string: x, y" in ended.stdout
