"""A line is shown while cnnzoo imports Keras, unless the call is not verbose or the user imports it."""

import re
import subprocess
import sys

LINE = re.compile(r"^Importing Keras: \d+ s so far$", re.MULTILINE)
USES = {
    "by a command": ("from cnnzoo.cli.startup import import_keras_quietly; import_keras_quietly()", True),
    "by a lazy module": ("from cnnzoo.core.lazy import Lazy; Lazy('keras').name", True),
    "by a public function": ("cnnzoo.get('lenet5')", True),
    "by the user": ("import keras; keras.name", False),
    "by a call that is not verbose": (
        """
@cnnzoo.core.arguments.check_arguments()
def work(*, verbose=True):
    import cnnzoo.layers
work(verbose=False)""",
        False,
    ),
}


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
import cnnzoo, cnnzoo.core.arguments, cnnzoo.core.progress
cnnzoo.core.progress.DELAY = 0.1
hooks = len(sys.meta_path)
try:
    exec(sys.argv[2])
except (AttributeError, ImportError):
    pass  # the module has nothing of Keras but its name
assert sys.modules["keras"].name == "Keras" and len(sys.meta_path) == hooks - 1
"""


KERAS = """
import sys, time
from cnnzoo.core import progress
name = "Keras"
end = time.monotonic() + (60 if sys.argv[3] == "shown" else 0.5)
while time.monotonic() < end and "Importing Keras" not in [work.activity for work in list(progress._board._shown)]:
    time.sleep(0.01)
"""


def test_who_imports_keras_decides_whether_it_is_shown(tmp_path):
    # A module that takes until it is shown, or long enough to be shown
    (tmp_path / "keras.py").write_text(KERAS)
    processes = {
        use: subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(tmp_path), code, "shown" if shown else "not shown"],
            stderr=subprocess.PIPE,
            text=True,
        )
        for use, (code, shown) in USES.items()
    }
    errors = {use: process.communicate()[1] for use, process in processes.items()}
    assert {use: process.returncode for use, process in processes.items()} == dict.fromkeys(USES, 0), errors
    assert {use for use, error in errors.items() if LINE.search(error)} == {
        use for use, (_, shown) in USES.items() if shown
    }


def test_the_module_is_as_if_nothing_had_been_added(tmp_path, monkeypatch):
    from contextlib import contextmanager

    from cnnzoo.core.import_hooks import import_within

    events = []

    @contextmanager
    def record(name):
        events.append(f"begin {name}")
        yield
        events.append(f"end {name}")

    (tmp_path / "hooked_module.py").write_text("value = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    finders = list(sys.meta_path)
    import_within("hooked_module", lambda: record("inner"))
    import_within("hooked_module", lambda: record("outer"))
    import hooked_module

    assert events == ["begin outer", "begin inner", "end inner", "end outer"]
    assert sys.meta_path == finders
    assert type(hooked_module.__loader__).__name__ == type(hooked_module.__spec__.loader).__name__ == "SourceFileLoader"
    import_within("hooked_module", lambda: record("too late"))
    assert sys.meta_path == finders
