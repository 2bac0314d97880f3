from __future__ import annotations

import json

import pytest
import yaml
from makers import shop_spec, spec_of

from penstock.errors import InputError
from penstock.specfile import SpecFile
from penstock.workspace import Record, Workspace, fingerprint


@pytest.fixture
def workspace(tmp_path):
    file = SpecFile(path="p.yaml", text=yaml.safe_dump(shop_spec()), spec=spec_of(shop_spec()))
    return Workspace(root=str(tmp_path), file=file)


def record(**changes):
    fields = {
        "stage": "merge", "fingerprint": "ab" * 32, "digest": "d", "outputs": {"table": "curated/t.json"},
        "rows": 3, "size_bytes": 9, "seconds": 1.5, "details": {"x": [1, 2]},
    }  # fmt: skip
    return Record(**fields | changes)


def test_a_record_comes_back_as_it_was_kept(workspace, tmp_path):
    (tmp_path / "curated").mkdir()
    (tmp_path / "curated" / "t.json").touch()

    workspace.keep(record())

    assert workspace.done("merge") == record()
    assert record().run == "abababababab"


def test_a_record_whose_output_is_gone_does_not_count(workspace):
    workspace.keep(record())

    assert workspace.find("merge") is None


def test_a_stage_that_has_not_finished_says_what_to_run(workspace, tmp_path):
    with pytest.raises(InputError) as caught:
        workspace.done("merge")

    assert str(caught.value) == (
        f"stage 'merge' of pipeline 'shop' has not finished below '{tmp_path}'\n"
        f"  run it first: penstock merge p.yaml --root {tmp_path}"
    )


def test_forgetting_a_stage_removes_its_record(workspace, tmp_path):
    workspace.keep(record(outputs={}))

    workspace.forget("merge")

    assert workspace.find("merge") is None
    workspace.forget("merge")  # twice is fine


def test_a_fingerprint_depends_on_every_part_and_on_the_stage():
    parts = {"files": [["a", 1, 2]], "spec": {"x": 1}}

    marks = {
        fingerprint("merge", parts),
        fingerprint("fit", parts),
        fingerprint("merge", parts | {"files": [["a", 1, 3]]}),
        fingerprint("merge", json.loads(json.dumps(parts)) | {"spec": {"x": 2}}),
    }

    assert len(marks) == 4
    assert fingerprint("merge", dict(reversed(parts.items()))) in marks
