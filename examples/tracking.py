"""Track a training with TensorBoard, and read the event files again.

MLflow and Weights & Biases are used in the same way: track="mlflow", track="wandb". From a terminal:
cnnzoo train lenet5 digits --recipe digits --track mlflow
"""

import struct
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event

import cnnzoo

RUN = Path("tracked")


def read_scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the scalars of event files by name: their steps and values."""
    scalars: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content, place = path.read_bytes(), 0
        while place < len(content):
            (length,) = struct.unpack_from("<Q", content, place)
            event = Event.FromString(content[place + 12 : place + 12 + length])
            place += 16 + length
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    scalars.setdefault(value.tag, []).append((event.step, value.simple_value))
    return scalars


def main() -> None:
    """Train for three epochs, and print what the tracker has got."""
    data = cnnzoo.load_data("digits")
    model = cnnzoo.get("lenet5", classes=data.classes)
    recipe = cnnzoo.recipe("digits", epochs=3)
    report = cnnzoo.fit_and_evaluate(
        model, data, recipe=recipe, run_dir=RUN, overwrite=True, track="tensorboard", verbose=False
    )
    scalars = read_scalars(RUN / "tensorboard")
    for epoch, accuracy in scalars["val_accuracy"]:
        print(f"epoch {epoch}: validation accuracy {accuracy:.3f}")
    print(f"On test: {scalars['test_accuracy'][0][1]:.3f}, as the report says: {report.accuracy:.3f}")


if __name__ == "__main__":
    main()
