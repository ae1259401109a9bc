"""Write files of torch.save for tests/checkpoints/test_torch_saved.py, in both formats, and PyTorch's logits.

    python tests/golden/torch_files.py FOLDER

Needs torch, torchvision and two gigabytes of disk. The weights are drawn as for the golden files.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from draw import images, weights
from torchvision import models

NAMES = "alexnet", "vgg16_bn", "resnet18", "resnext50_32x4d", "googlenet", "inception_v3"


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        heads = {"init_weights": True, "aux_logits": True} if name in ("googlenet", "inception_v3") else {}
        net = models.get_model(name, weights=None, **heads).eval()
        net.transform_input = False
        drawn = weights(net.state_dict(), [value.shape for value in net.state_dict().values()], 1.0)
        net.load_state_dict({key: torch.from_numpy(value) for key, value in drawn.items()})
        size = 299 if name == "inception_v3" else 224
        with torch.no_grad():
            logits = net(torch.from_numpy(images(size, size).transpose(0, 3, 1, 2).copy())).numpy()
        torch.save(net.state_dict(), folder / f"{name}.pth")
        torch.save(net.state_dict(), folder / f"{name}.th", _use_new_zipfile_serialization=False)
        np.savez_compressed(folder / f"{name}.npz", logits=logits)
        print(name, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
