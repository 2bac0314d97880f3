from __future__ import annotations

import hashlib

import pyarrow.parquet as pq
import pytest
from makers import CUSTOMERS, ORDERS, shop, shop_spec, spec_of

from penstock import storage
from penstock.curated import open_curated
from penstock.errors import (
    DuplicateKeyError,
    EmptyTableError,
    InputError,
    MissingColumnsError,
    SchemaMismatchError,
)
from penstock.merge import merge


def run(spark, root, body=None, **sources):
    spec = spec_of(body or shop_spec())
    return merge(
        spark,
        spec,
        inputs={name: str(root / source.path) for name, source in spec.sources.items()},
        quarantine_uri=str(root / "quarantine"),
        target=str(root / "curated"),
    )


def rows(curated, *columns):
    found = []
    for file in curated.files:
        table = pq.read_table(curated.uri_of(file).removeprefix("file://"), partitioning=None)
        found += [tuple(row[c] for c in columns) for row in table.to_pylist()]
    return sorted(found)


def test_every_base_row_comes_out_once_with_its_side(spark, tmp_path):
    merged = run(spark, shop(tmp_path))

    assert rows(merged.curated, "id", "customers__city") == [
        (1, "Zürich"), (2, "Bern"), (3, "Zürich"), (4, None), (5, None), (6, "Bern"),
    ]  # fmt: skip
    assert merged.record["rows"] == {"base": 6, "curated": 6, "filtered": 0}
    assert merged.record["joins"] == [
        {
            "source": "customers", "expect": "many_to_one", "keys": ["customer"],
            "base_rows_matched": 4, "base_rows_null_key": 1, "base_rows_unmatched": 1,
            "side_rows": 3, "side_rows_unused": 1, "side_rows_superseded": 0,
        }
    ]  # fmt: skip
    assert open_curated(str(tmp_path / "curated")) == merged.curated


def test_a_repeated_key_names_the_key_and_writes_no_table(spark, tmp_path):
    shop(tmp_path, customers=[*CUSTOMERS, {"customer": "c1", "city": "Basel"}])

    with pytest.raises(DuplicateKeyError) as caught:
        run(spark, tmp_path)

    assert str(caught.value) == (
        "table 'customers' has 2 rows for key (customer='c1'), expected at most one (1 repeated key in all)\n"
        "  the join would multiply rows of 'orders': set latest_by on this join, "
        "join on more columns, or remove the repeats"
    )
    with pytest.raises(InputError, match=r"no table\.json, so no merge has finished there"):
        open_curated(str(tmp_path / "curated"))


def test_latest_by_picks_one_row_per_key(spark, tmp_path):
    history = [
        {"customer": "c1", "city": "old", "since": "2020-01-01"},
        {"customer": "c1", "city": "new", "since": "2023-01-01"},
        {"customer": "c2", "city": "only", "since": "2019-01-01"},
    ]
    shop(tmp_path, customers=history)
    body = shop_spec()
    body["merge"]["joins"] = [{"source": "customers", "on": "customer", "latest_by": "since"}]

    merged = run(spark, tmp_path, body)

    cities = dict(rows(merged.curated, "id", "customers__city"))
    assert cities == {1: "new", 2: "only", 3: "new", 4: None, 5: None, 6: "only"}
    assert merged.record["joins"][0]["side_rows_superseded"] == 1


def test_one_to_one_refuses_a_base_that_repeats(spark, tmp_path):
    body = shop_spec()
    body["merge"]["joins"][0]["expect"] = "one_to_one"

    with pytest.raises(DuplicateKeyError) as caught:
        run(spark, shop(tmp_path), body)

    assert str(caught.value) == (
        "table 'orders' has 2 rows for key (customer='c2'), expected at most one (2 repeated keys in all)\n"
        "  the join with 'customers' expects one_to_one: say many_to_one, or remove the repeats"
    )


def test_a_base_whose_key_repeats_is_refused(spark, tmp_path):
    body = shop_spec()
    body["merge"]["key"] = ["day"]

    with pytest.raises(DuplicateKeyError) as caught:
        run(spark, shop(tmp_path), body)

    assert str(caught.value) == (
        "table 'orders' has 2 rows for key (day='2024-01-03'), expected at most one (3 repeated keys in all)\n"
        "  name more columns in merge.key, or remove the repeats"
    )


def test_keys_of_different_types_are_refused(spark, tmp_path):
    shop(tmp_path, customers=[{"customer": 1, "city": "x"}])

    with pytest.raises(SchemaMismatchError) as caught:
        run(spark, tmp_path)

    assert str(caught.value) == (
        "table 'customers', column 'customer': type is bigint, expected string, as 'customer' of 'orders' is\n"
        "  declare the same type in sources.orders.columns and sources.customers.columns"
    )


def test_derive_where_and_drop(spark, tmp_path):
    body = shop_spec()
    body["merge"] |= {
        "derive": {"double": "amount * 2", "weekend": "dayofweek(day) in (1, 7)"},
        "where": "amount is not null",
        "drop": ["customer"],
    }

    merged = run(spark, shop(tmp_path), body)

    assert merged.record["rows"] == {"base": 6, "curated": 5, "filtered": 1}
    assert "customer" not in merged.curated.names()
    assert rows(merged.curated, "id", "double")[0] == (1, 21.0)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"where": "amount > 1000"}, EmptyTableError,
            "table 'curated' has 0 rows, expected at least 1\n  merge.where keeps none of 6 rows: 'amount > 1000'",
        ),
        (
            {"where": "amout > 1"}, InputError,
            "merge.where: 'amout > 1' does not fit the table\n  A column or function parameter with name `amout` "
            "cannot be resolved. Did you mean one of the following? [`amount`, `day`, `id`, `paid`, `customer`].\n"
            "  it has: 'id', 'day', 'customer', 'amount', 'paid', 'customers__city', 'customers__zip'",
        ),
        (
            {"drop": ["amount"]}, InputError,
            "merge.drop names 'amount', which the key, the split, the label or a feature needs\n"
            "  take it out of merge.drop, or out of these",
        ),
        (
            {"drop": ["payed"]}, MissingColumnsError,
            "table 'merge' lacks 1 column: 'payed'\n  it has: 'id', 'day', 'customer', 'amount', 'paid', "
            "'customers__city', 'customers__zip'\n  did you mean 'paid' for 'payed'?",
        ),
        (
            {"joins": [{"source": "customers", "on": {"customer": "cust"}}]}, MissingColumnsError,
            "table 'customers' lacks 1 column: 'cust'\n  it has: 'city', 'customer', 'zip'\n"
            "  did you mean 'customer' for 'cust'?",
        ),
    ],
)  # fmt: skip
def test_a_merge_that_does_not_fit_says_so_and_leaves_no_table(
    spark, tmp_path, change, error, message
):
    body = shop_spec()
    body["merge"] |= change
    if "joins" in change:
        body["features"] = [{"kind": "numeric", "columns": ["amount"]}]

    with pytest.raises(error) as caught:
        run(spark, shop(tmp_path), body)

    assert str(caught.value) == message
    assert not storage.exists(str(tmp_path / "curated" / "table.json"))


def lake_of(root, count):
    lines = [
        ORDERS[0],
        *[
            f"{i},2024-01-01,c{i % 5},{i % 17}.5,{'true' if i % 3 else 'false'}"
            for i in range(count)
        ],
    ]
    return shop(root, orders=lines)


def digests(curated):
    content = []
    for file in curated.files:
        table = pq.read_table(curated.uri_of(file).removeprefix("file://"), partitioning=None)
        content.append((file.split, hashlib.sha256(str(table.to_pydict()).encode()).hexdigest()))
    return content


def test_the_same_input_gives_the_same_files_in_the_same_order(spark, tmp_path):
    body = shop_spec()
    body["merge"]["rows_per_file"] = 100
    one = run(spark, lake_of(tmp_path / "one", 400), body)
    partitions = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", "7")
    spark.conf.set("spark.sql.files.maxPartitionBytes", "2000")

    other = run(spark, lake_of(tmp_path / "other", 400), body)

    spark.conf.set("spark.sql.shuffle.partitions", partitions)
    spark.conf.unset("spark.sql.files.maxPartitionBytes")
    assert digests(one.curated) == digests(other.curated)
    assert one.curated.digest == other.curated.digest
    assert len(one.curated.of("train")) == 4
    assert [row for (row,) in rows(one.curated, "id")] == list(range(400))


def test_a_changed_cell_changes_the_digest(spark, tmp_path):
    one = run(spark, shop(tmp_path / "one"))

    other = run(spark, shop(tmp_path / "other", orders=[*ORDERS[:-1], "6,2024-01-03,c2,13,false"]))

    assert one.curated.digest != other.curated.digest
