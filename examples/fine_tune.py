"""Pretrained weights on data of one's own: a new head first, then the stages below it, and an honest comparison.

Usage: python examples/fine_tune.py [NAME WEIGHTS DATA], say resnet18 imagenet photos/. Without them LeNet-5, which
learned MNIST's digits, learns scikit-learn's from two hundred images: no download.
"""

import sys

import cnnzoo
from cnnzoo.training import recipes

if len(sys.argv) == 4:
    name, weights, source = sys.argv[1:]
    data = cnnzoo.load_data(source)
    recipe = recipes.resolve_recipe("finetune")
else:
    name, weights = "lenet5", "mnist"
    data = cnnzoo.load_data("digits", split=(0.1, 0.1, 0.8))
    # scikit-learn's digits do not see a mirror, and a network this small may be trained faster than ResNets
    recipe = recipes.resolve_recipe("finetune", {"augment": "shift", "learning_rate": 0.01, "epochs": 5})

model = cnnzoo.get(name, weights=weights)  # its own classes: fine_tune gives it a head for those of the data
report = cnnzoo.fine_tune(model, data, recipe=recipe, verbose=sys.stderr.isatty())

print(report)  # the linear probe beside what fine-tuning made of it
print("kept: epoch", report.best_epoch or "0, the probe", "- temperature:", round(cnnzoo.card(model).temperature, 2))
for pair in report.metrics["confused"][:3]:
    print(f"{pair['images']} images of {pair['true']} are taken for {pair['taken_for']}")
