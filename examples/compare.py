"""Compare two networks on the same images: the difference, the images behind it, and a page with their pictures."""

import tempfile
from pathlib import Path

import cnnzoo


def main() -> None:
    """Compare LeNet-5 trained on MNIST with LeNet-5 trained on the digits that both are tested on."""
    data = cnnzoo.load_data("digits", splits=(0.7, 0.1, 0.2))
    a = cnnzoo.evaluate(cnnzoo.get("lenet5", weights="mnist"), data)
    b = cnnzoo.evaluate(cnnzoo.get("lenet5", weights="digits"), data)

    comparison = cnnzoo.compare(a, b, margin=0.01, slices=["brightness"])
    print(comparison)

    low, high = comparison.interval
    print(f"B gains between {100 * low:.0f} and {100 * high:.0f} points")
    worst = comparison.losses[:3]
    print("Only A is right on", [comparison.a.images[i] for i in worst] or "no image")

    with tempfile.TemporaryDirectory() as folder:
        # The reports may also be folders, such as those of two runs.
        a.save(Path(folder) / "a")
        b.save(Path(folder) / "b")
        again = cnnzoo.compare(Path(folder) / "a", Path(folder) / "b")
        again.save(Path(folder) / "compare.html")
        print("Written:", sorted(path.name for path in Path(folder).iterdir()), again.verdict)


if __name__ == "__main__":
    main()
