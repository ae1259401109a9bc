"""Train LeNet-5 on handwritten digits, evaluate it, export it, and use the export, as in the README."""

import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp())

# [README]
import cnnzoo

data = cnnzoo.load_data("digits", splits=(0.7, 0.1, 0.2))
model = cnnzoo.get("lenet5", classes=data.classes)
report = cnnzoo.fit_and_evaluate(model, data, recipe="digits", run_dir=folder / "run", overwrite=True)
print(report)

cnnzoo.export(model, folder / "exported", overwrite=True)
classifier = cnnzoo.load(folder / "exported")
print(classifier.predict(data.test.images[:3]))
# [/README]

assert report.accuracy > 0.95
print(f"Open {folder / 'run' / 'report.html'}")
