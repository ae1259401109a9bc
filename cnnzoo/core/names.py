"""What to say about a name that the package does not have."""

from collections.abc import Sequence
from importlib.util import find_spec

from cnnzoo.core.errors import suggest_names

# What other libraries, and the command line, call the same thing, and our name for it.
OTHER_NAMES = {
    "ImageDataLoaders": "load_data",
    "ImageFolder": "load_data",
    "create_model": "get",
    "demo": "list_models",
    "doctor": "load_data(...).diagnosis",
    "fetch": "get(NAME, weights=TAG)",
    "fit": "fit_and_evaluate",
    "get_model": "get",
    "image_dataset_from_directory": "load_data",
    "leaderboard": "board",
    "learning_rate_finder": "lr_find",
    "load_model": "load",
    "model_info": "info",
    "models": "list_models",
    "predict": "load(PATH).predict",
    "recipes": "recipe",
    "show": "load_data(...).show",
    "train": "fit_and_evaluate",
    "vision_learner": "fine_tune",
}


def describe_missing_name(name: str, public_names: Sequence[str]) -> str:
    """Return a message about `cnnzoo.name`, which does not exist, with the nearest name that does.

    Example:
        >>> from cnnzoo.core.names import describe_missing_name
        >>> describe_missing_name("loaddata", ["load", "load_data"])
        "cnnzoo has no 'loaddata'. Did you mean cnnzoo.load_data?"
    """
    problem = f"cnnzoo has no {name!r}"
    if name in OTHER_NAMES:
        return f"{problem}. Did you mean cnnzoo.{OTHER_NAMES[name]}?"
    if find_spec(f"cnnzoo.{name}"):
        return f"cnnzoo.{name} is a module that is not imported yet: import cnnzoo.{name}"
    plain = {public.replace("_", "").lower(): public for public in public_names}  # loadData, finetune, Get
    nearest = plain.get(name.replace("_", "").lower()) or next(iter(suggest_names(name, public_names, count=1)), None)
    if nearest:
        return f"{problem}. Did you mean cnnzoo.{nearest}?"
    return f"{problem}. It has {', '.join(public_names)}"
