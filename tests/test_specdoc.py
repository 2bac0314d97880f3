"""docs/pipeline-yaml.md is what the schema says now."""

from __future__ import annotations

from pathlib import Path

from penstock.spec import Spec
from penstock.specdoc import markdown

DOC = Path(__file__).parents[1] / "docs" / "pipeline-yaml.md"


def test_the_reference_in_docs_is_current():
    assert DOC.read_text() == markdown(Spec.model_json_schema()), (
        "run: penstock schema --markdown > docs/pipeline-yaml.md"
    )


def test_every_part_and_key_has_its_row_with_what_it_takes():
    schema = {
        "properties": {
            "one": {"type": "integer", "minimum": 1, "description": "How many."},
            "two": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            "three": {"enum": ["a", "b"], "default": "a"},
            "four": {"items": {"$ref": "#/$defs/Part"}, "type": "array"},
            "five": {"default": True, "type": "boolean"},
        },
        "required": ["one", "four"],
        "$defs": {
            "Part": {
                "description": "A part.",
                "properties": {"x|y": {"type": "number", "exclusiveMinimum": 0.5}},
            }
        },
    }

    text = markdown(schema)

    assert text.splitlines()[7:] == [
        "| key | value | default | meaning |",
        "|---|---|---|---|",
        "| `one` | integer >= 1 |  | How many. |",
        "| `two` | string | unset |  |",
        "| `three` | `a`, `b` | `a` |  |",
        "| `four` | list of [Part](#part) |  |  |",
        "| `five` | boolean | `true` |  |",
        "",
        "## Part",
        "",
        "A part.",
        "",
        "| key | value | default | meaning |",
        "|---|---|---|---|",
        "| `x\\|y` | number > 0.5 |  |  |",
    ]
