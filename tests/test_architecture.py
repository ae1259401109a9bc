"""The layout of the package, as docs/decisions.md describes it: import directions, no cycles, private names."""

import ast
from functools import cache
from pathlib import Path

import cnnzoo

PACKAGE = Path(cnnzoo.__file__).parent

# What each component (a folder, or a file at the top) may import: these components, what those may import, and `core`.
MAY_IMPORT = {
    "core": set(),
    "layers": set(),
    "card_storage": set(),
    "cards": {"card_storage"},
    "preprocessing": set(),
    "models": {"layers"},
    "surgery": {"cards"},
    "checkpoints": {"cards", "surgery"},
    "data": {"cards", "preprocessing"},
    "registry": {"models", "checkpoints", "preprocessing"},
    "evaluation": {"explain", "data", "surgery"},
    "explain": {"inference", "data", "surgery"},
    "runtimes": {"data", "surgery"},
    "build": {"registry", "models", "checkpoints", "preprocessing", "surgery"},
    "training": {"evaluation", "data", "surgery"},
    "inference": {"runtimes", "data", "surgery", "layers"},  # layers: .keras files need our classes registered
    "tuning": {"build", "training"},
    "export": {"inference", "runtimes", "evaluation", "training"},
    "serve": {"inference", "explain"},
    "diff": {"build"},
    "cli": {"tuning", "export", "serve", "diff"},
    "__main__": {"cli"},
    "__init__": set(),
}
PRIVATE_NAMES = {
    "surgery/walk.py",
    "training/optimizer.py",
    "tuning/keras_tuner_compat.py",
    "core/processes.py",
}  # may use other libraries'
DOCUMENTED = {"_replace", "_asdict", "_fields", "_make", "_exit", "_cnnzoo_card"}  # of namedtuples, of os, and our own


@cache
def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def relative(path):
    return path.relative_to(PACKAGE).as_posix()


FILES = {relative(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def public_modules():
    """Return the module of each public name, from the stub: {"get": "cnnzoo.build", ...}."""
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname: f"cnnzoo.{node.module or alias.name}" for node in imports for alias in node.names}


PUBLIC_MODULES = public_modules()


def find_file(module):
    """Return the file of a module, or of the module that defines a dotted name; None if it is not part of cnnzoo."""
    parts = module.split(".")
    if parts[0] != "cnnzoo":
        return None
    if len(parts) == 2 and parts[1] in PUBLIC_MODULES and f"{parts[1]}.py" not in FILES:
        parts = PUBLIC_MODULES[parts[1]].split(".")
    for end in (len(parts), len(parts) - 1):
        path = "/".join(parts[1:end])
        for file in (f"{path}.py", f"{path}/__init__.py".lstrip("/")):
            if file in FILES:
                return file
    raise AssertionError(f"{module} is imported but does not exist")


def imported_modules(tree):
    """Yield every module or name that a file imports: at once, inside functions, for type checkers, or lazily."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports inside the package are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Lazy":
            yield node.args[0].value
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            if isinstance(node.args[0], ast.Constant):
                yield node.args[0].value
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "cnnzoo":
            yield f"cnnzoo.{node.attr}"  # a public name


@cache
def import_graph():
    """Return the files of cnnzoo that each file imports."""
    graph = {}
    for file, path in FILES.items():
        targets = {find_file(module) for module in imported_modules(parse(path))}
        graph[file] = sorted(targets - {None, file, "__init__.py"})  # the package itself only holds the version
    return graph


def component_of(file):
    return file.partition("/")[0].removesuffix(".py")


def allowed_components(name):
    """Return the components that `name` may import, directly or through a component that it may import."""
    components = {"core"}
    for below in MAY_IMPORT[name]:
        components |= {below} | allowed_components(below)
    return components


def show(violations):
    return "".join(f"\n  {line}" for line in sorted(violations))


def test_every_component_is_in_the_table():
    assert {component_of(file) for file in FILES} <= MAY_IMPORT.keys()


def test_imports_follow_the_table():
    violations = {
        f"{file} imports {target}"
        for file, targets in import_graph().items()
        for target in targets
        if component_of(target) not in {component_of(file)} | allowed_components(component_of(file))
    }
    assert not violations, f"A component may not import these files:{show(violations)}"


def strongly_connected(graph):
    """Return the groups of files that import each other in a cycle (Tarjan 1972)."""
    index, low, stack, groups = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in graph[node]:
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                groups.append(frozenset(group))

    for node in graph:
        if node not in index:
            visit(node)
    return groups


def test_a_cycle_is_found():
    graph = {"a": ["b"], "b": ["c", "d"], "c": ["a"], "d": []}
    assert strongly_connected(graph) == [frozenset("abc")]


def test_no_cycle_between_files():
    """Imports inside functions, for type checkers and by Lazy("...") count."""
    graph = import_graph()
    violations = {
        f"{file} imports {target}"
        for group in strongly_connected(graph)
        for file in group
        for target in graph[file]
        if target in group
    }
    assert not violations, f"These files import each other in a cycle:{show(violations)}"


def defined_names(tree):
    """Yield the names that a file defines itself: functions, methods, variables, attributes of self."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if getattr(node.value, "id", "") in ("self", "cls"):
                yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def used_attributes(tree):
    """Yield the name of every attribute that is read, set or deleted, by `x.name` or by getattr(x, "name")."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Call) and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
            function = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if function in ("getattr", "setattr", "hasattr", "delattr", "__setattr__"):
                yield node.args[1].value


def test_private_names_are_found():
    tree = ast.parse("tensor._keras_history.operation; del model._tracker; getattr(layer, '_inbound_nodes', None)")
    assert {"_keras_history", "_tracker", "_inbound_nodes"} <= set(used_attributes(tree))


def test_private_names_of_other_libraries_stay_in_their_files():
    """A release of Keras may change what begins with an underscore, so few files depend on it."""
    ours = {name for path in FILES.values() for name in defined_names(parse(path))} | DOCUMENTED
    violations = {
        f"{file} uses {name}"
        for file, path in FILES.items()
        if file not in PRIVATE_NAMES
        for name in used_attributes(parse(path))
        if name.startswith("_") and not name.endswith("__") and name not in ours
    }
    assert not violations, f"Private names of other libraries belong into {', '.join(PRIVATE_NAMES)}:{show(violations)}"


def test_internals_of_keras_tuner_stay_in_one_file():
    """Everything but the top-level names of `keras_tuner` is internal."""
    violations = {
        f"{file} imports {module}"
        for file, path in FILES.items()
        if file != "tuning/keras_tuner_compat.py"
        for module in imported_modules(parse(path))
        if module.startswith(("keras_tuner.src", "keras_tuner.engine"))
    }
    assert not violations, f"Only tuning/keras_tuner_compat.py may import these:{show(violations)}"


def test_at_most_ten_files_at_the_top():
    top = [file for file in FILES if "/" not in file]
    assert len(top) <= 10, f"The top of the package holds too many files:{show(top)}"


def test_graphs_use_keras_only():
    """Networks run on every backend of Keras."""
    for file in FILES:
        if file.startswith("models/") or file == "layers.py":
            assert "tensorflow" not in FILES[file].read_text(), file
