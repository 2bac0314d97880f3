"""The features program, as a process, over HTTP: equal to plan.encode to the bit, or a clear refusal."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
import strategies as tables
from containers.servers import serving
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from penstock import recordio
from penstock.containers.rows import input_types
from penstock.plan import FeaturePlan

UTC = dt.UTC
SCHEMA = pa.schema(
    [
        ("number", pa.float64()),
        ("single", pa.float32()),
        ("whole", pa.int64()),
        ("price", pa.decimal128(12, 2)),
        ("name", pa.string()),
        ("flag", pa.bool_()),
        ("day", pa.date32()),
        ("moment", pa.timestamp("us", "UTC")),
        ("vector", pa.list_(pa.float64())),
        ("words", pa.string()),
    ]
)
TEXTS = st.one_of(
    st.none(),
    st.sampled_from(["", "a", "b,c", 'say "x"', "two\nlines", "\r\n", " Zürich ", "null", "1"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=6),
)
SINGLES = st.floats(-1e6, 1e6, allow_nan=False, width=32)
ROW = st.fixed_dictionaries(
    {
        "number": st.none() | st.floats(-1e9, 1e9, allow_nan=False),
        "single": st.none() | SINGLES,
        "whole": st.none() | st.integers(-(2**62), 2**62),
        "price": st.none() | st.decimals(-(10**9), 10**9, places=2),
        "name": TEXTS,
        "flag": st.none() | st.booleans(),
        "day": st.none() | st.dates(dt.date(1900, 1, 1), dt.date(2200, 1, 1)),
        "moment": st.none()
        | st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1), timezones=st.just(UTC)),
        "vector": st.none() | st.lists(SINGLES, min_size=2, max_size=2),
        "words": TEXTS,
    }
)
TRAIN = [
    {
        "number": 1.5,
        "single": 0.1,
        "whole": 3,
        "price": Decimal("9.99"),
        "name": "a",
        "flag": True,
        "day": dt.date(2024, 1, 31),
        "moment": dt.datetime(2024, 1, 31, 12, tzinfo=UTC),
        "vector": [1.0, 2.0],
        "words": "big red",
    },
    dict.fromkeys(SCHEMA.names),
    {
        "number": -2.0,
        "single": 7.0,
        "whole": 2**53 + 1,
        "price": Decimal("0.01"),
        "name": "Zürich",
        "flag": False,
        "day": dt.date(2020, 2, 29),
        "moment": dt.datetime(2020, 2, 29, tzinfo=UTC),
        "vector": [0.0, -1.0],
        "words": "blue",
    },
]
GROUPS = (
    tables.numeric("number", "single", scale="none"),
    tables.numeric("whole", "price"),
    tables.categorical("name"),
    {"kind": "boolean", "columns": ["flag"]},
    {"kind": "datetime", "columns": ["day", "moment"]},
    {"kind": "vector", "columns": ["vector"], "impute": "zeros"},
)
WORDS = {"kind": "text", "columns": ["words"], "buckets": 16}


def table(rows):
    """Rows as a batch of the schema."""
    arrays = [pa.array([row[f.name] for row in rows], f.type) for f in SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def fitted(groups, layout="dense"):
    rows = table(TRAIN)
    whole = rows.append_column("y", pa.array([0, 1, 0], pa.int64()))
    return tables.plan(whole, of=tables.spec(*groups, dataset={"layout": layout}))


def wire(cell):
    """A cell as JSON has it."""
    if isinstance(cell, dt.datetime):
        return cell.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(cell, dt.date):
        return cell.isoformat()
    return float(cell) if hasattr(cell, "as_tuple") else cell


def text(cell):
    """A cell as CSV has it, quoted if it is a text: so the empty text is no missing cell."""
    if cell is None:
        return ""
    if isinstance(cell, str):
        return '"' + cell.replace('"', '""') + '"'
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, list):
        return f'"{json.dumps(cell)}"'
    return str(cell) if hasattr(cell, "as_tuple") else str(wire(cell))


def lines(rows, names):
    return "".join(",".join(text(row[name]) for name in names) + "\n" for row in rows)


def arrow(rows):
    batch, sink = table(rows), io.BytesIO()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def requests(rows, names):
    """All bodies that say the same rows: what it is, Content-Type, body."""
    objects = [{name: wire(row[name]) for name in names} for row in rows]
    lists = [list(each.values()) for each in objects]
    header = ",".join(reversed(names)) + ",more\n"
    more = "".join(",".join(text(r[n]) for n in reversed(names)) + ",x\n" for r in rows)
    found = [
        ("text/csv", lines(rows, names).encode()),
        ("text/csv; charset=utf-8; header=present", (header + more).encode()),
        ("text/csv;label_size=1", "".join(f"9,{lines([r], names)}" for r in rows).encode()),
        ("application/json", json.dumps({"instances": objects}).encode()),
        ("application/json", json.dumps(lists, ensure_ascii=False).encode()),
        ("application/json", json.dumps({"columns": names, "data": lists}).encode()),
        ("application/jsonlines", "\n".join(map(json.dumps, objects)).encode()),
        ("application/x-ndjson", ("\n".join(map(json.dumps, lists)) + "\n").encode()),
        ("application/vnd.apache.arrow.stream", arrow(rows)),
    ]
    if len(rows) == 1:
        found.append(("application/json", json.dumps(objects[0]).encode()))
    return found


def read(body, accept, width):
    """The matrix of an answer."""
    if accept == "application/x-recordio-protobuf":
        found = recordio.decode(body).features
        return found if isinstance(found, np.ndarray) else found.toarray()
    if accept == "text/csv":
        return np.array(
            [[np.float32(c) for c in r] for r in csv.reader(io.StringIO(body.decode()))]
        )
    if accept == "application/jsonlines":
        instances = [json.loads(line) for line in body.splitlines()]
    else:
        instances = json.loads(body)["instances"]
    matrix = np.zeros((len(instances), width), np.float32)
    for row, instance in zip(matrix, instances, strict=True):
        if "features" in instance:
            row[:] = np.array(instance["features"], np.float32)
        else:
            one = instance["data"]["features"]
            assert one["shape"] == [width]
            assert len(one["keys"]) == len(one["values"]) > 0
            row[one["keys"]] = np.array(one["values"], np.float32)
    return matrix


@pytest.fixture(scope="module", params=["dense", "sparse"])
def served(request, tmp_path_factory):
    """A plan with a column of each kind, and its server."""
    plan = fitted((*GROUPS, WORDS), request.param)
    assert plan.layout == request.param
    base = tmp_path_factory.mktemp(request.param)
    plan.save(str(base / "model"))
    with serving(base) as server:
        yield plan, server


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The dense plan's server."""
    base = tmp_path_factory.mktemp("plain")
    fitted(GROUPS).save(str(base / "model"))
    with serving(base) as server:
        yield server


ACCEPTS = (
    "application/x-recordio-protobuf",
    "text/csv",
    "application/json",
    "application/jsonlines",
)


@settings(max_examples=10)
@given(st.lists(ROW, min_size=1, max_size=4))
def test_every_format_gives_the_features_of_the_plan_to_the_bit(served, rows):
    plan, server = served
    encoded = plan.encode(table(rows))
    expected = encoded if isinstance(encoded, np.ndarray) else encoded.toarray()

    for content, body in requests(rows, list(plan.input_columns)):
        for accept in ACCEPTS:
            reply = server.invoke(body, content, accept)
            assert (reply.status, reply.headers["Content-Type"]) == (200, accept), reply.text
            found = read(reply.body, accept, plan.width)
            assert found.tobytes() == expected.tobytes(), (content, accept)


def test_recordio_answers_are_the_codecs_bytes(served):
    plan, server = served
    encoded = plan.encode(table(TRAIN))
    encode = recordio.encode_sparse if sparse.issparse(encoded) else recordio.encode_dense

    reply = server.invoke(lines(TRAIN, plan.input_columns).encode(), "text/csv", "*/*")

    assert reply.headers["Content-Type"] == "application/x-recordio-protobuf"
    assert reply.body == bytes(encode(encoded))


def test_input_types_are_those_of_the_train_split():
    assert input_types(fitted((*GROUPS, WORDS))) == {f.name: str(f.type) for f in SCHEMA}


def changed(**cells):
    return json.dumps({**{n: wire(c) for n, c in TRAIN[0].items() if n != "words"}, **cells})


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (
            {"number": "1.5"},
            "table 'request', column 'number': row 1 is '1.5', expected a number (fitted on double)\n"
            "  send a number, or null where it is missing\n",
        ),
        (
            {"whole": 3.5},
            "table 'request', column 'whole': row 1 is 3.5, expected a whole number (fitted on int64)\n"
            "  send a whole number, or null where it is missing\n",
        ),
        (
            {"whole": 10**30},
            f"table 'request', column 'whole': row 1 is {10**30}, expected a whole number (fitted on "
            "int64)\n  send a whole number, or null where it is missing\n",
        ),
        (
            {"number": 10**400},
            f"table 'request', column 'number': row 1 is 1{'0' * 59}..., expected a number (fitted on "
            "double)\n  send a number, or null where it is missing\n",
        ),
        (
            {"name": 8001},
            "table 'request', column 'name': row 1 is 8001, expected a text (fitted on string)\n"
            "  send a text, or null where it is missing\n",
        ),
        (
            {"name": "\ud800"},
            "table 'request', column 'name': row 1 is '\\ud800', expected a text of whole characters\n"
            "  half of a surrogate pair is no character; mend the text\n",
        ),
        (
            {"flag": 1},
            "table 'request', column 'flag': row 1 is 1, expected true or false (fitted on bool)\n"
            "  send true or false, or null where it is missing\n",
        ),
        (
            {"day": "2024-02-30"},
            "table 'request', column 'day': row 1 is '2024-02-30', expected a date, as 2024-01-31 "
            "(fitted on date32[day])\n  send a date, or null where it is missing\n",
        ),
        (
            {"moment": "noon"},
            "table 'request', column 'moment': row 1 is 'noon', expected a time, as "
            "2024-01-31T12:00:00Z (fitted on timestamp[us, tz=UTC])\n"
            "  send a time, or null where it is missing\n",
        ),
        (
            {"vector": [1, None]},
            "table 'request', column 'vector': row 1, element 1 is None, expected a number (fitted on "
            "list<item: double>)\n  send a list of numbers, as [0.5, 1.0]\n",
        ),
        (
            {"vector": [1]},
            "table 'request', column 'vector': row 1 has 1 numbers, expected 2 as the rows before\n"
            "  all rows of a dataset have one width: pad or cut such rows, or filter them\n",
        ),
    ],
)
def test_a_wrong_json_cell_is_named(plain, cells, message):
    body = f"{changed()}\n{changed(**cells)}\n".encode()

    reply = plain.invoke(body, "application/jsonlines", "text/csv")

    assert (reply.status, reply.headers["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert reply.text == message


GOOD = '1.5,0.1,3,9.99,a,true,2024-01-31,2024-01-31T12:00:00Z,"[1,2]"\n'


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "1.5",
            "abc",
            "table 'request', column 'number': row 1 is 'abc', expected a number (fitted on double)\n"
            "  send a number, or null where it is missing\n",
        ),
        (
            "1.5",
            "inf",
            "table 'request', column 'number': row 1 is inf, expected a finite number within the range "
            "of float32\n  mend it in merge.derive, or filter it in merge.where\n",
        ),
        (
            ",3,",
            ",0x10,",
            "table 'request', column 'whole': row 1 is '0x10', expected a whole number (fitted on "
            "int64)\n  send a whole number, or null where it is missing\n",
        ),
        (
            "true",
            "yes",
            "table 'request', column 'flag': row 1 is 'yes', expected true or false (fitted on bool)\n"
            "  send true or false, or null where it is missing\n",
        ),
        (
            '"[1,2]"',
            '"[1,2],[3]"',
            "table 'request', column 'vector': row 1 is '[1,2],[3]', expected a list of numbers, as "
            "[0.5, 1.0] (fitted on list<item: double>)\n"
            "  send a list of numbers, or null where it is missing\n",
        ),
        (
            ",a,",
            ",",
            "table 'request', row 1: it has 8 cells, expected 9: "
            "'1.5,0.1,3,9.99,true,2024-01-31,2024-01-31T12:00:00Z,\"[1,2]\"'\n"
            "  a cell with a comma, a quote or a line break needs quotes around it\n",
        ),
        (
            ",a,",
            ',5" disk,',
            "table 'request', row 1: a quote stands within a cell, expected quotes around cells only\n"
            '  put quotes around the cell, and write each quote in it twice: "5"" disk"\n',
        ),
        (
            ',"[1,2]"',
            ',"[1,2]',
            "table 'request', row 1: a quote is never closed, expected a second one\n"
            "  close it, or write each quote in a cell twice\n",
        ),
        (
            "1.5",
            "\n1.5",
            "table 'request', row 1: the line is empty, expected cells\n"
            "  leave the line out, or send a comma between cells that are missing\n",
        ),
    ],
)
def test_a_wrong_csv_cell_is_named(plain, old, new, message):
    reply = plain.invoke((GOOD + GOOD.replace(old, new)).encode(), "text/csv", "text/csv")

    assert (reply.status, reply.text) == (400, message)


def test_cells_may_be_written_in_other_ways(plain):
    other = (
        ' +1.50 ,"0.1",3.0,9.990e0,a,1,2024-01-31,2024-01-31 13:00:00.000000000+01," [1, 2.0]"\r\n'
    )

    assert plain.invoke(other.encode(), "text/csv").body == (
        plain.invoke(GOOD.encode(), "text/csv").body
    )


@pytest.mark.parametrize(
    ("content", "body", "message"),
    [
        ("application/json", b"", "the body is empty, expected rows\n"),
        (
            "application/json",
            b"3",
            "table 'request': the body is 3, expected rows\n"
            '  send {"instances": [...]}, a list of objects, or one object\n',
        ),
        (
            "application/json",
            b"[" * 100_000,
            "table 'request': no JSON: it is nested too deeply\n  mend the text\n",
        ),
        (
            "application/json",
            b'[{"number": NaN}]',
            "table 'request': no JSON: NaN is no JSON number; send null where a number is missing\n"
            "  mend the text\n",
        ),
        (
            "application/json",
            b'["\xff"]',
            "table 'request': byte 2 is 0xff, expected UTF-8\n  encode the text again\n",
        ),
        ("text/csv", b"\xff" + GOOD.encode(), None),
        (
            "application/json",
            b'[{"numbr": 1}, 3]',
            "table 'request', row 1: it is 3, expected an object\n"
            "  send all rows as objects, or all as lists\n",
        ),
        (
            "application/json",
            b"[[1, 2]]",
            "table 'request', row 0: it has 2 cells, expected 9: 'number', 'single', 'whole', 'price', "
            "'name', 'flag', 'day', 'moment', 'vector'\n"
            "  send a cell for each, null where it is missing\n",
        ),
        (
            "application/jsonlines",
            b'{"a": 1}\n\n{"a": 1}\n',
            "table 'request', row 1: the line is empty, expected a JSON object\n  leave it out\n",
        ),
        (
            "application/jsonlines",
            b'{"a": 1}\n{"a" 1}\n',
            "table 'request', row 1: no JSON: Expecting ':' delimiter at line 1, column 6\n"
            "  mend the text\n",
        ),
        (
            "application/vnd.apache.arrow.stream",
            b"garbage!",
            None,
        ),
        (
            "text/csv; header=maybe",
            b"1",
            "Content-Type: header is 'maybe', expected 'present', 'absent'\n",
        ),
        (
            "text/csv; label_size=x",
            b"1",
            "Content-Type: label_size is 'x', expected a whole number\n"
            "  it is how many columns stand before the features, and are not looked at\n",
        ),
    ],
)
def test_a_wrong_body_is_refused(plain, content, body, message):
    reply = plain.invoke(body, content, "text/csv")

    assert reply.status == 400
    assert message is None or reply.text == message


def test_a_key_that_one_object_lacks_is_named(plain):
    body = json.dumps([json.loads(changed()), {**json.loads(changed(numbr=1)), "number": None}])
    lacking = json.loads(body)
    del lacking[1]["number"]

    reply = plain.invoke(json.dumps(lacking).encode(), "application/json", "text/csv")

    assert reply.text == (
        "table 'request', column 'number': row 1 has no such key, expected it in each object, as null "
        "where it is missing; did you mean 'numbr'?\n"
        "  send null, or say absent=null in Content-Type if absent keys mean that\n"
    )
    absent = plain.invoke(json.dumps(lacking).encode(), "application/json; absent=null")
    assert absent.body == plain.invoke(body.encode(), "application/json").body


def test_errors_are_json_for_clients_that_read_json(plain):
    reply = plain.invoke(b"3", "application/json", "application/json")

    assert json.loads(reply.body) == {
        "error": {
            "type": "InputError",
            "message": "table 'request': the body is 3, expected rows\n"
            '  send {"instances": [...]}, a list of objects, or one object',
        }
    }


def test_no_rows_give_no_rows(plain):
    assert plain.invoke(b"[]", "application/json").body == b'{"instances":[]}\n'
    assert plain.invoke(b'{"instances": []}', "application/json", "text/csv").body == b""


def test_routes_and_headers(plain):
    parameters = json.loads(plain.ask("GET", "/execution-parameters").body)
    wrong = plain.ask("GET", "/invocations")

    assert plain.ask("GET", "/ping").status == 200
    assert parameters == {
        "MaxConcurrentTransforms": parameters["MaxConcurrentTransforms"],
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": 6,
    }
    assert (wrong.status, wrong.headers["Allow"]) == (405, "POST")
    assert wrong.text == "method 'GET' on /invocations: expected POST\n"
    assert plain.ask("GET", "/a%0Ab").text == (
        "path '/a\\nb': expected '/ping', '/invocations', '/execution-parameters'\n"
    )
    assert plain.ask("GET", "/x").status == 404
    assert plain.ask("POST", "/invocations", b"x").status == 415
    assert plain.invoke(b"x", "text/csv; charset=latin-1").status == 415
    assert (
        plain.invoke(b"x", "text/html").text
        == json.dumps(
            {
                "error": {
                    "type": "UnsupportedMediaType",
                    "message": "Content-Type is 'text/html', expected one of 'text/csv', "
                    "'application/json', 'application/jsonlines', 'application/x-jsonlines', "
                    "'application/x-ndjson', 'application/vnd.apache.arrow.stream'",
                }
            }
        )
        + "\n"
    )
    assert plain.invoke(GOOD.encode(), "text/csv", "image/png").status == 406


def test_bodies_past_the_limit_are_413_and_their_clients_hear_of_it(plain):
    reply = plain.invoke(b"1" * (6 * 2**20 + 1), "text/csv")

    assert (reply.status, reply.text) == (
        413,
        "the body has 6,291,457 bytes, expected at most 6,291,456: send fewer rows\n",
    )
    assert plain.invoke(b"1" * (6 * 2**20), "text/csv").status == 400


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /invocations HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /invocations HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", b"501"),
        (b"\0\1\2\r\n\r\n", b"400"),
        (b"GET /ping HTTP/1.1\r\n" + b"X: y\r\n" * 60_000 + b"\r\n", b"431"),
        (
            b"POST /invocations HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
            b"413",
        ),
    ],
    ids=["negative", "text", "coding", "noise", "headers", "expect"],
)
def test_what_is_no_request_is_refused_and_the_server_lives_on(plain, sent, status):
    reply = plain.raw(sent)

    assert reply.split(b" ", 2)[:2] == [b"HTTP/1.1" if b"1.1" in reply[:8] else b"HTTP/1.0", status]
    assert plain.ask("GET", "/ping").status == 200


def test_chunks_are_read_like_a_whole_body(plain):
    connection = plain.client()
    headers = {"Content-Type": "text/csv", "Accept": "text/csv", "Transfer-Encoding": "chunked"}
    pieces = iter([GOOD[:5].encode(), GOOD[5:].encode()])
    connection.request("POST", "/invocations", pieces, headers, encode_chunked=True)
    found = connection.getresponse().read()
    connection.close()

    assert found == plain.invoke(GOOD.encode(), "text/csv", "text/csv").body


def test_eight_clients_at_once_get_equal_answers(plain):
    body = GOOD.encode() * 500
    expected = plain.invoke(body, "text/csv").body

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: plain.invoke(body, "text/csv").body, range(40)))

    assert [each == expected for each in found] == [True] * 40


def test_the_log_has_a_line_for_each_request_and_nothing_of_its_rows(plain):
    body = GOOD.replace(",a,", ",hidden-word,").encode()
    plain.invoke(body, "text/csv")
    plain.invoke(b"hidden-word,x\n", "text/csv")
    plain.ask("GET", "/the-end")
    with_end = lambda: [line for line in plain.lines if "/the-end" in line]  # noqa: E731
    deadline = threading.Event()
    while not with_end():
        deadline.wait(0.01)

    log = "\n".join(plain.lines)
    assert "hidden-word" not in log
    line = f"POST /invocations 200 1 row, text/csv to application/json, {len(body)} bytes in"
    assert line in log


@pytest.fixture
def base(tmp_path):
    fitted(GROUPS).save(str(tmp_path / "model"))
    return tmp_path


def test_sigterm_lets_a_request_finish_that_has_begun(base):
    with serving(base) as server:
        connection = server.client()
        connection.putrequest("POST", "/invocations")
        for name, value in (
            ("Content-Type", "text/csv"),
            ("Accept", "text/csv"),
            ("Content-Length", str(len(GOOD))),
        ):
            connection.putheader(name, value)
        connection.endheaders(GOOD[:10].encode())
        idle = server.client()
        idle.request("GET", "/ping")
        assert idle.getresponse().read() == b""
        server.process.terminate()
        # The server closes connections that wait for nothing, and by that shows that it is stopping.
        assert idle.sock.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            server.ask("GET", "/ping")
        connection.send(GOOD[10:].encode())
        reply = connection.getresponse()
        body = reply.read()
        code = server.process.wait(30)
        idle.close()
        connection.close()

    assert (reply.status, len(body.splitlines()), code) == (200, 1, 0)
    assert server.lines[-1].endswith("] stopped")


def test_a_setting_gives_another_order_with_further_columns(base):
    with serving(
        base, PENSTOCK_SERVE_COLUMNS="id,vector,day,moment,name,flag,price,whole,single,number"
    ) as s:
        order = ["vector", "day", "moment", "name", "flag", "price", "whole", "single", "number"]
        found = s.invoke(b"7," + lines(TRAIN[:1], order).encode(), "text/csv").body
        expected = s.invoke(changed().encode(), "application/json").body

        assert found == expected


def test_settings_may_say_header_absent_keys_and_the_usual_answer(base):
    with serving(
        base,
        PENSTOCK_SERVE_HEADER="present",
        PENSTOCK_SERVE_ABSENT="null",
        SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT="application/jsonlines",
        SAGEMAKER_BATCH="true",
    ) as server:
        names = [n for n in SCHEMA.names if n != "words"]
        body = ",".join(names) + "\n" + "," * (len(names) - 1) + "\n"
        found = server.ask("POST", "/invocations", body.encode(), Content_Type="text/csv")
        other = server.ask("POST", "/invocations", b"{}", Content_Type="application/json")

        assert found.status == other.status == 200
        assert found.headers["Content-Type"] == "application/jsonlines"
        assert found.body == other.body
        # The limit of batch transform, not that of InvokeEndpoint.
        large = body.encode() + b"," * 7_000_000
        assert server.invoke(large, "text/csv", "text/csv").status == 400


def test_a_folder_without_a_plan_ends_with_1(tmp_path):
    with serving(tmp_path) as server:
        assert server.process.wait(30) == 1

    assert server.lines[-2:] == [
        f"error: plan: nothing found at '{tmp_path}/model/plan.json'",
        "  fit again: penstock fit SPEC",
    ]


def test_neither_starting_nor_answering_imports_pandas_pyspark_or_boto3(base):
    code = (
        "import sys; from pathlib import Path\n"
        "from penstock.containers.features import load\n"
        "from penstock.containers.serving import MediaType\n"
        "predictor = load(Path(sys.argv[1]), {})\n"
        "for name, body in (('text/csv', sys.argv[2]), ('application/json', sys.argv[3])):\n"
        "    for accept in predictor.gives:\n"
        "        predictor.answer(body.encode(), MediaType(name=name), accept)\n"
        "print(sorted({'pandas', 'pyspark', 'boto3', 'botocore'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(base / "model"), GOOD, changed()]

    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_plan_that_is_served_is_the_plan_that_was_saved(base):
    saved = FeaturePlan.load(str(base / "model"))

    with serving(base) as server:
        assert any(f"plan {saved.sha256[:12]}: 9 columns to" in line for line in server.lines)


def test_rows_are_counted_behind_the_header(plain):
    names = ",".join(n for n in SCHEMA.names if n != "words")
    body = f"{names}\n{GOOD}1,2\n"

    reply = plain.invoke(body.encode(), "text/csv; header=present", "text/csv")

    assert (reply.status, reply.text.splitlines()[0]) == (
        400,
        "table 'request', row 1: it has 2 cells, expected 9: '1,2'",
    )


def test_a_header_that_lacks_a_column_is_refused(plain):
    reply = plain.invoke(b"numbr\n1\n", "text/csv; header=present", "text/csv")

    assert (reply.status, reply.text.splitlines()[0]) == (
        400,
        "table 'request' lacks 9 columns: 'number', 'single', 'whole', 'price', 'name', 'flag', 'day', "
        "'moment', 'vector'",
    )


def test_the_command_serves_a_folder_likewise(base, plain):
    command = ("-m", "penstock", "serve", str(base / "model"), "--port", "0")

    with serving(base, *command) as server:
        found = server.invoke(GOOD.encode(), "text/csv").body
        code = server.stop()

    assert (found, code) == (plain.invoke(GOOD.encode(), "text/csv").body, 0)
    assert any(
        line.startswith(f"  curl http://127.0.0.1:{server.port}/inv") for line in server.lines
    )
