"""The paths of the repository and of the real data."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEST_DATA = Path(os.environ.get("CNNZOO_TEST_DATA", ROOT.parent / "shared" / "data"))
