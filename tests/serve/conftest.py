"""One server for all tests of the protocols, with three models: an export on OpenVINO, and Keras models."""

import pytest
from helpers.local_server import LocalServer

import cnnzoo


@pytest.fixture(scope="session")
def digits_model():
    return cnnzoo.get("lenet5", weights="digits")


@pytest.fixture(scope="session")
def digits_export(digits_model, tmp_path_factory):
    """LeNet-5 for digits, exported to OpenVINO."""
    pytest.importorskip("openvino")
    folder = tmp_path_factory.mktemp("serve") / "digits"
    cnnzoo.export(digits_model, folder, "openvino", verbose=False)
    return folder


@pytest.fixture(scope="session")
def classifiers(digits_model, digits_export):
    """The classifiers that are served, by their names: of gray images on two runtimes, and of RGB images."""
    color = cnnzoo.get("resnet20", classes=[f"class {i}" for i in range(10)])
    return {
        "digits": cnnzoo.load(digits_export),
        "digits-keras": cnnzoo.Classifier.of(digits_model, runtime="keras"),
        "color": cnnzoo.Classifier.of(color, runtime="keras"),
    }


@pytest.fixture(scope="session")
def server(classifiers):
    with LocalServer(cnnzoo.serve.create_app(classifiers)) as running:
        yield running.wait_until_ready()


@pytest.fixture(scope="session")
def one_model_server(classifiers):
    """A server with a single model."""
    with LocalServer(cnnzoo.serve.create_app(classifiers["digits"])) as running:
        yield running.wait_until_ready()
