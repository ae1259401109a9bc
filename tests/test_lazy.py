"""Importing cnnzoo and listing the models imports neither Keras nor TensorFlow."""

import subprocess
import sys

import pytest

KERAS_AT_ONCE = {"RateTest", "TuneResult", "hypermodel"}  # classes and functions that have no `verbose`
HEAVY = ("keras", "tensorflow", "numpy", "sklearn", "matplotlib")
USES = {
    "import": "import cnnzoo",
    "names": "import cnnzoo; cnnzoo.list_models(); cnnzoo.info('resnet20'); cnnzoo.Recipe",
    "help": "from cnnzoo.cli.main import main; main(['--help'])",
    "list": "from cnnzoo.cli.main import main; main(['list'])",
    "info": "from cnnzoo.cli.main import main; main(['info', 'lenet5_1998'])",
    "fetch": "from cnnzoo.cli.main import main; main(['fetch', 'lenet5'])",
    "unknown": "from cnnzoo.cli.main import main; main(['train', 'lenet', 'digits'])",
}


@pytest.mark.parametrize("use", USES)
def test_nothing_heavy_is_imported(use):
    code = f"""
import sys
try:
    {USES[use]}
except SystemExit:
    pass
print('loaded:', [name for name in {HEAVY} if name in sys.modules])
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1] == "loaded: []"


def test_a_folder_called_cnnzoo_does_not_hide_the_package(tmp_path):
    (tmp_path / "cnnzoo" / "cnnzoo").mkdir(parents=True)  # a clone, from where the folder beside it is
    code = "import cnnzoo; print(cnnzoo.__version__)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert (process.returncode, process.stderr) == (0, "")


def test_the_public_names_come_from_the_stub_and_are_documented():
    import cnnzoo

    for name in cnnzoo.__all__:
        assert getattr(cnnzoo, name).__doc__, name
    assert callable(cnnzoo.export), "the function, not the package of its name"


def test_worker_processes_augment_without_keras():
    code = "import sys, cnnzoo.data.augmentation as a; a.Augmentation('rand+erase+cutmix', (8, 8)); print(*sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(process.stdout.split())
    assert "numpy" in loaded
    assert not {"keras", "tensorflow", "jax", "scipy", "sklearn"} & loaded


def test_public_functions_import_keras_when_they_are_called():
    code = f"""
import cnnzoo, sys
for name in sorted(set(cnnzoo.__all__) - {KERAS_AT_ONCE}):
    getattr(cnnzoo, name)
    assert "keras" not in sys.modules, name
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
