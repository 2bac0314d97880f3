"""Raw tables -> curated: one row per key, split and shuffled by hash.

    spark-submit jobs/merge.py --spec examples/flights/pipeline.yaml --root .

Exit codes: 0 done, 2 spec or flags, 3 data, 4 a job or container failed, 6 a gate failed.
"""

import sys

from penstock.runner import job


def main(argv: list[str]) -> int:
    """Run the stage and return its exit code."""
    return job("merge", __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
