"""Exports that several tests share."""

import pytest

import cnnzoo


@pytest.fixture(scope="session")
def export_once(trained, data, tmp_path_factory):
    """A function that exports the trained run in a format and a precision, with a crop, and only once for each."""
    folder, exports = tmp_path_factory.mktemp("exports"), {}

    def export(format, precision="float32"):
        if (format, precision) not in exports:
            exports[format, precision] = cnnzoo.export(
                trained.folder,
                folder / f"{format}-{precision}",
                format,
                precision=precision,
                data=data,
                max_drop=0.1,
                crop=export.crop,
            )
        return exports[format, precision]

    export.crop = 0.875
    return export
