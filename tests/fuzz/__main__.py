"""The command: python -m fuzz, with the folder `tests` on the path."""

import argparse
import sys
from pathlib import Path

from fuzz.campaign import FAILURES, run_campaign
from fuzz.targets import KINDS


def main():
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2, help="how long to go on (default: 2)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all mutations (default: 0)")
    parser.add_argument("--only", default=",".join(KINDS), help=f"kinds, separated by commas, of {', '.join(KINDS)}")
    parser.add_argument("--out", type=Path, default=Path("fuzz-failures"), help="folder for the inputs that fail")
    arguments = parser.parse_args()
    kinds = arguments.only.split(",")
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"unknown kinds: {', '.join(sorted(unknown))}")

    result = run_campaign(kinds, arguments.seed, 60 * arguments.minutes, arguments.out)
    print(result)
    sys.exit(bool(result.count(FAILURES)))


if __name__ == "__main__":
    main()
