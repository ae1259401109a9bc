"""See why a photo got its class: maps over the photo, a contrast of two classes, and the page of the command line.

Usage: python examples/explain.py [RUN PHOTO...], for example: runs/bees photos/*.jpg. Without arguments it explains
handwritten digits with weights that come with cnnzoo.
"""

import sys

import cnnzoo

if len(sys.argv) > 2:
    model, images = cnnzoo.load(sys.argv[1]), sys.argv[2:]
else:
    model, images = cnnzoo.get("lenet5", weights="digits"), cnnzoo.load_data("digits").test.images[:3]

# Grad-CAM for the likeliest class of each photo. The layer is chosen, and stated.
explanations = cnnzoo.explain(model, images)
for explanation in explanations:
    print(explanation)

# The map lies in the pixels of the original photo, from 0 to 1.
first = explanations[0]
print("map:", first.map.shape, first.map.dtype, "evidence:", first.evidence)
first.save("why.png")

# What speaks for the likeliest class, rather than for the second likeliest?
likeliest, second = first.classes[:2]
(contrast,) = cnnzoo.explain(model, images[:1], target=(likeliest, second))
print(f"{likeliest} rather than {second}: {contrast.score:.1%}")
contrast.save("why_not.png")

# A method that needs no gradients, so that it also explains exports.
(occlusion,) = cnnzoo.explain(model, images[:1], method="occlusion")
print(occlusion)
