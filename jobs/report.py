"""All records -> reports/<pipeline>/index.html, one self-contained page.

    spark-submit jobs/report.py --spec examples/flights/pipeline.yaml --root .
"""

import sys

from penstock.runner import job


def main(argv: list[str]) -> int:
    """Run the stage and return its exit code."""
    return job("report", __doc__, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
