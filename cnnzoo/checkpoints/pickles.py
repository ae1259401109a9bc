"""Read pickles as data: a stack machine that imports nothing and calls only the functions it is given.

Python's own unpickler is not safe enough, even with restricted globals: a few bytes make it allocate gigabytes for its
memo, or hash a tuple that is nested so deeply that the process crashes.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from cnnzoo.core.errors import InputError

MAX_STEPS = 2**20  # opcodes of one pickle, plus the items in the arguments of its calls
LITERAL_OPCODES = {
    *("NONE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}


@dataclass(frozen=True)
class GlobalName:
    """A class or function that a pickle refers to; only its dotted name, never the object itself."""

    name: str


@dataclass(eq=False, repr=False)
class Opaque:
    """A placeholder for an object of a class that is not read, such as `argparse.Namespace`; nothing was called.

    Attributes:
        name: the dotted name of the class or function that would have made the object.
        args: its arguments.
        items: what the pickle puts into the object as if it were a dict.
        state: what the pickle would have set as the attributes of the object.
    """

    name: str
    args: tuple[Any, ...] = ()
    items: dict[Any, Any] = field(default_factory=dict)
    state: Any = None

    def __repr__(self) -> str:  # what is in it may be nested without end
        return self.name


def load_pickle(
    stream: BinaryIO,
    allowed: Mapping[str, Callable[..., Any] | None],
    load_persistent: Callable[[Any], Any],
) -> Any:
    """Return the object of the pickle at the position of the stream.

    Args:
        stream: a file that is positioned at the start of the pickle.
        allowed: for each global that has a meaning here, the function that is called in its place, or None if it may
            not be called. References stay names, and calls of any other global give an `Opaque` object.
        load_persistent: returns the object for a persistent id.

    Raises:
        InputError: if the pickle is too long or does something that no state dict needs.
        IndexError, KeyError, TypeError, ValueError: if it is broken.
    """
    stack: list[Any] = []
    marks: list[list[Any]] = []
    memo: dict[int, Any] = {}

    def pop_mark() -> list[Any]:
        """Return the items since the last mark, and continue with the stack below it."""
        nonlocal stack
        items, stack = stack, marks.pop()
        return items

    steps = 0
    for opcode, arg, _ in pickletools.genops(stream):
        steps += 1
        if steps > MAX_STEPS:
            raise InputError(f"its pickle takes more than {MAX_STEPS} steps")
        match opcode.name:
            # Literals, and the memo of objects that are used again
            case name if name in LITERAL_OPCODES:
                stack.append(arg)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                memo[_check_memo_index(arg)] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(memo[_check_memo_index(arg)])

            # Tuples, lists and dicts
            case "MARK":
                marks.append(stack)
                stack = []
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "TUPLE":
                items = pop_mark()
                stack.append(tuple(items))
            case "EMPTY_LIST":
                stack.append([])
            case "LIST":
                items = pop_mark()
                stack.append(items)
            case "APPEND":
                item = stack.pop()
                _extend_top(stack, [item])
            case "APPENDS":
                items = pop_mark()
                _extend_top(stack, items)
            case "EMPTY_SET":
                stack.append(Opaque("builtins.set"))
            case "ADDITEMS":
                pop_mark()
            case "FROZENSET":
                pop_mark()
                stack.append(Opaque("builtins.frozenset"))
            case "DUP":
                stack.append(stack[-1])
            case "POP":
                if stack:
                    stack.pop()
                else:
                    pop_mark()
            case "POP_MARK":
                pop_mark()
            case "EMPTY_DICT":
                stack.append({})
            case "DICT":
                items = pop_mark()
                stack.append(make_dict(items[::2], items[1::2]))
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _top_dict(stack).update(make_dict([key], [value]))
            case "SETITEMS":
                items = pop_mark()
                _top_dict(stack).update(make_dict(items[::2], items[1::2]))

            # Globals, calls and objects outside the pickle
            case "GLOBAL":
                stack.append(GlobalName(str(arg).replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                attribute, module = stack.pop(), stack.pop()
                stack.append(GlobalName(".".join((module, attribute))))
            case "REDUCE":
                args, function = stack.pop(), stack.pop()
                if type(args) is not tuple:
                    raise InputError("its pickle calls a function without a tuple of arguments")
                steps += sum(len(arg) for arg in args if isinstance(arg, list | tuple))
                stack.append(_call(function, args, allowed))
            case "NEWOBJ" | "NEWOBJ_EX":
                arguments = [stack.pop() for _ in range(1 + (opcode.name == "NEWOBJ_EX"))]
                made = stack.pop()
                if type(made) is not GlobalName or made.name in allowed:
                    raise InputError(f"its pickle has the opcode {opcode.name} for something that is not a class")
                stack.append(Opaque(made.name, tuple(arguments)))
            case "BUILD":  # sets attributes, such as the `_metadata` of a state dict: ignored
                state = stack.pop()
                if type(stack[-1]) is Opaque:
                    stack[-1].state = state
                else:
                    _top_dict(stack)
            case "BINPERSID":
                stack.append(load_persistent(stack.pop()))

            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case name:
                raise InputError(f"its pickle has the opcode {name}, which no state_dict needs")
    raise InputError("its pickle does not end")


def make_dict(keys: list[Any], values: list[Any]) -> dict[Any, Any]:
    """Return a dict with keys that are hashed quickly and without clashes: strings, or integers of up to 62 bits.

    Any other key becomes an `Opaque` object, which is hashed by its identity.
    """
    return dict(zip(map(_make_key, keys), values, strict=True))


def _make_key(key: Any) -> Any:
    if type(key) is str or (type(key) is int and abs(key) < 2**62):
        return key
    return Opaque(f"a key of type {type(key).__name__}")


def _call(function: Any, args: tuple[Any, ...], allowed: Mapping[str, Callable[..., Any] | None]) -> Any:
    """Return the result of a function that has a meaning here, or a placeholder for that of any other."""
    if type(function) is Opaque:  # such as a method that `getattr` would have returned
        return Opaque(function.name, args)
    if type(function) is not GlobalName:
        raise InputError("its pickle calls something that is not a function")
    if function.name not in allowed:
        return Opaque(function.name, args)
    call = allowed[function.name]
    if call is None:
        raise InputError("its pickle calls something that is not a function")
    return call(*args)


def _check_memo_index(index: Any) -> int:
    """Return an index into the memo, or raise InputError if it is out of range."""
    if not 0 <= index <= MAX_STEPS:
        raise InputError(f"its pickle uses {index:.3g} as the number of an object")
    return int(index)


def _extend_top(stack: list[Any], items: list[Any]) -> None:
    """Append items to the list on top of the stack; in a placeholder they are not needed."""
    if type(stack[-1]) is not Opaque:
        _top_container(stack, list).extend(items)


def _top_dict(stack: list[Any]) -> Any:
    """Return the dict on top of the stack, or the items of a placeholder."""
    return stack[-1].items if type(stack[-1]) is Opaque else _top_container(stack, dict)


def _top_container(stack: list[Any], kind: type) -> Any:
    """Return the object on top of the stack, which must be of this very type."""
    if type(stack[-1]) is not kind:
        raise InputError(f"its pickle fills a {type(stack[-1]).__name__} as if it were a {kind.__name__}")
    return stack[-1]
