"""Have sagemaker-pyspark write tests/recordio/golden/*.pbr anew. Run it when rows are added."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from peer import class_path, vector_rows, write

from penstock import spark

TESTS = Path(__file__).parents[1] / "tests"


def main() -> None:
    """Write one file per table."""
    sys.path.insert(0, str(TESTS))
    from recordio.peer_rows import GOLDEN, tables

    GOLDEN.mkdir(exist_ok=True)
    os.environ.setdefault("PENSTOCK_SPARK_MASTER", "local[1]")
    with spark.session("golden", conf=class_path()) as session:
        for name, (features, labels) in tables().items():
            with tempfile.TemporaryDirectory() as folder:
                write(vector_rows(session, features, labels), folder)
                (part,) = Path(folder).glob("part-*.pbr")
                content = part.read_bytes()
            (GOLDEN / f"{name}.pbr").write_bytes(content)
            print(f"{name}: {features.shape[0]} rows, {len(content):,} bytes")


if __name__ == "__main__":
    main()
