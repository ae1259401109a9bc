"""The rows of torch: the same network of timm, or torchvision without timm, eager and compiled.

python torch_side.py OPTIONS, as `accelerator.py` passes them.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from timing import Options, measure_rate, read_options, report, run_tasks

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CLASSES = 2  # few, so that the smallest splits have all of them


def build_model(options: Options) -> torch.nn.Module:
    """Return the network with random weights, in the memory layout that suits convolutions."""
    try:
        import timm

        model = timm.create_model(options.model, num_classes=CLASSES)
    except ImportError:
        import torchvision

        model = torchvision.models.get_model(options.model, weights=None, num_classes=CLASSES)
    return model.to(DEVICE, memory_format=torch.channels_last)


def random_batch(options: Options) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images and labels on the device."""
    images = torch.randn(options.batch_size, 3, options.size, options.size, device=DEVICE)
    labels = torch.randint(0, CLASSES, (options.batch_size,), device=DEVICE)
    return images.to(memory_format=torch.channels_last), labels


def autocast(options: Options) -> AbstractContextManager[object]:
    """Return the context that computes in bfloat16, if the options say so."""
    return torch.autocast(DEVICE, torch.bfloat16) if options.low_precision else nullcontext()


def wait() -> None:
    """Wait for the device."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def training_step(options: Options, compiled: bool) -> dict[str, object]:
    """Measure forward pass, backward pass and update on a batch that stays on the device."""
    model = build_model(options).train()
    images, labels = random_batch(options)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9, nesterov=True, weight_decay=5e-4)
    network = torch.compile(model) if compiled else model

    def step() -> None:
        with autocast(options):
            loss = torch.nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    rate, first = measure_rate(step, wait, options)
    return {"rate": round(rate), "first_step_seconds": round(first, 1)}


def inference_step(options: Options, compiled: bool) -> dict[str, object]:
    """Measure the forward pass on a batch that stays on the device."""
    model = build_model(options).eval()
    images, _ = random_batch(options)
    network = torch.compile(model) if compiled else model

    def step() -> None:
        with torch.inference_mode(), autocast(options):
            network(images)

    rate, first = measure_rate(step, wait, options)
    return {"rate": round(rate), "first_step_seconds": round(first, 1)}


if __name__ == "__main__":
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    report("torch", text=f"torch {torch.__version__}")
    tasks: dict[str, Callable[[Options], dict[str, object]]] = {
        "torch eager training step": lambda options: training_step(options, False),
        "torch eager inference step": lambda options: inference_step(options, False),
        "torch.compile inference step": lambda options: inference_step(options, True),
        "torch.compile training step": lambda options: training_step(options, True),
    }
    run_tasks(tasks, read_options())
