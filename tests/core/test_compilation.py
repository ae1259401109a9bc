"""Where JAX keeps the programs that it has compiled."""

import stat

import keras
import pytest

from cnnzoo.core import compilation

jax = pytest.importorskip("jax")
OPTIONS = ("jax_compilation_cache_dir", "jax_compilation_cache_max_size")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty CNNZOO_HOME, on what Keras says is the JAX backend. JAX gets its options back afterwards."""
    before = [getattr(jax.config, name) for name in OPTIONS]
    monkeypatch.setenv("CNNZOO_HOME", str(tmp_path))
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    for name, value in zip(OPTIONS, (None, -1), strict=True):
        jax.config.update(name, value)
    yield tmp_path
    for name, value in zip(OPTIONS, before, strict=True):
        jax.config.update(name, value)


def test_programs_are_kept_in_the_cache_of_the_package(home):
    compilation.use_compilation_cache()
    folder = home / "jax"
    (own,) = folder.iterdir()
    assert jax.config.jax_compilation_cache_dir == str(own)
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    assert jax.config.jax_compilation_cache_max_size == compilation.MAX_BYTES
    compilation.use_compilation_cache()
    assert list(folder.iterdir()) == [own], "a processor has one folder"


@pytest.mark.parametrize("chosen", ["/elsewhere", ""])
def test_the_folder_and_the_size_of_the_user_are_kept(home, chosen):
    jax.config.update("jax_compilation_cache_max_size", 5)
    compilation.use_compilation_cache()
    assert jax.config.jax_compilation_cache_max_size == 5
    jax.config.update("jax_compilation_cache_dir", chosen)
    compilation.use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir == chosen


def test_a_cache_that_cannot_be_written_is_not_used(home, monkeypatch):
    (home / "file").touch()
    monkeypatch.setenv("CNNZOO_HOME", str(home / "file"))
    compilation.use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir is None


def test_other_backends_get_none(home, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    compilation.use_compilation_cache()
    assert jax.config.jax_compilation_cache_dir is None
    assert not list(home.iterdir())
