"""Train one model in all processes that `cnnzoo launch` starts, here or on several hosts; alone without it.

KERAS_BACKEND=jax cnnzoo launch -n 2 -- python examples/several_hosts.py
"""

import tempfile

import cnnzoo


def main() -> None:
    """Train LeNet-5 on the digits; every process gets the report."""
    has_others = cnnzoo.connect_processes()  # before a model is made

    data = cnnzoo.load_data("digits")
    model = cnnzoo.get("lenet5", classes=data.classes)
    recipe = cnnzoo.recipe("sgd", epochs=2, batch_size=64)  # a multiple of the number of all devices
    with tempfile.TemporaryDirectory() as folder:  # only the first process writes into its folder
        report = cnnzoo.fit_and_evaluate(model, data, recipe=recipe, run_dir=f"{folder}/run")

    print(f"{'one of several processes' if has_others else 'alone'}: accuracy {report.accuracy:.1%}")


if __name__ == "__main__":
    main()
