"""Fine-tune pretrained weights on other images: a new head first, then the stages below it.

Usage: python examples/fine_tune.py [NAME WEIGHTS DATA], for example: resnet18 imagenet photos/. Without arguments,
LeNet-5 with weights from MNIST learns scikit-learn's digits from about two hundred images, without a download.
"""

import sys

import cnnzoo

if len(sys.argv) == 4:
    name, weights, source = sys.argv[1:]
    data = cnnzoo.load_data(source)
    recipe = cnnzoo.recipe("finetune")
else:
    name, weights = "lenet5", "mnist"
    data = cnnzoo.load_data("digits", splits=(0.1, 0.1, 0.8))
    # Digits must not be flipped, and a network this small can be trained at a higher rate than a ResNet.
    recipe = cnnzoo.recipe("finetune", augment="shift", learning_rate=0.001, epochs=5)

model = cnnzoo.get(name, weights=weights)  # with its own classes; fine_tune gives it a head for those of the data
report = cnnzoo.fine_tune(model, data, recipe=recipe, verbose=sys.stderr.isatty())

print(report)  # shows the linear probe as well
print("kept epoch:", report.best_epoch or "0, the probe", "- temperature:", round(cnnzoo.card(model).temperature, 2))
for pair in report.metrics["confused"][:3]:
    print(f"{pair['images']} images of {pair['true']} were taken for {pair['taken_for']}")
