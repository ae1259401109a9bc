"""Pickles as data: a stack machine that imports nothing and calls only the functions it is given.

Python's own unpickler is no ground for this, even with its globals restricted: a few bytes make it allocate gigabytes
for its memo, or hash a tuple nested so deep that the process dies.
"""

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from cnnzoo.core.errors import InputError

MAX_STEPS = 2**20  # opcodes of one pickle, and items of the arguments of its calls
LITERAL_OPCODES = {
    *("NONE", "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8"),
}


@dataclass(frozen=True)
class GlobalName:
    """What a pickle refers to by its dotted name; the name only."""

    name: str


def load_pickle(
    stream: BinaryIO,
    known: Mapping[str, Callable[..., Any] | None],
    refused: Callable[[str], InputError],
    persistent: Callable[[Any], Any],
) -> Any:
    """The object of the pickle at the stream's position.

    Globals in `known` stay names, and calls of them are calls of its functions; others raise the error `refused` makes.
    A broken pickle raises InputError, or IndexError, KeyError, TypeError and ValueError from where it broke.
    """
    stack: list[Any] = []
    marks: list[list[Any]] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        nonlocal stack
        items, stack = stack, marks.pop()
        return items

    def found(name: str) -> GlobalName:
        if name not in known:
            raise refused(name)
        return GlobalName(name)

    steps = 0
    for opcode, arg, _ in pickletools.genops(stream):
        if (steps := steps + 1) > MAX_STEPS:
            raise InputError(f"its pickle takes more than {MAX_STEPS} steps")
        match opcode.name:
            case name if name in LITERAL_OPCODES:
                stack.append(arg)
            case "BINPUT" | "LONG_BINPUT" | "PUT":
                memo[_check_memo_index(arg)] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET" | "GET":
                stack.append(memo[_check_memo_index(arg)])
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "MARK":
                marks.append(stack)
                stack = []
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "TUPLE":
                items = since_mark()
                stack.append(tuple(items))
            case "EMPTY_LIST":
                stack.append([])
            case "LIST":
                items = since_mark()
                stack.append(items)
            case "APPEND":
                item = stack.pop()
                _top_container(stack, list).append(item)
            case "APPENDS":
                items = since_mark()
                _top_container(stack, list).extend(items)
            case "EMPTY_DICT":
                stack.append({})
            case "DICT":
                items = since_mark()
                stack.append(make_dict(items[::2], items[1::2]))
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _top_container(stack, dict).update(make_dict([key], [value]))
            case "SETITEMS":
                items = since_mark()
                _top_container(stack, dict).update(make_dict(items[::2], items[1::2]))
            case "GLOBAL":
                stack.append(found(str(arg).replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                attribute, module = stack.pop(), stack.pop()
                stack.append(found(".".join((module, attribute))))
            case "REDUCE":
                args, function = stack.pop(), stack.pop()
                call = known[function.name] if type(function) is GlobalName else None
                if call is None or type(args) is not tuple:
                    raise InputError("its pickle calls what is no function")
                steps += sum(len(arg) for arg in args if isinstance(arg, list | tuple))
                stack.append(call(*args))
            case "BUILD":  # attributes of a dict, as the `_metadata` of a state_dict
                stack.pop()
                _top_container(stack, dict)
            case "BINPERSID":
                stack.append(persistent(stack.pop()))
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case name:
                raise InputError(f"its pickle has the opcode {name}, which no state_dict needs")
    raise InputError("its pickle has no end")


def make_dict(keys: list[Any], values: list[Any]) -> dict[Any, Any]:
    """A dict whose keys are names or whole numbers of 62 bits, whose hashes are quick and differ."""
    for key in keys:
        if type(key) is not str and not (type(key) is int and abs(key) < 2**62):
            raise InputError(f"its pickle has a {type(key).__name__} for a key")
    return dict(zip(keys, values, strict=True))


def _check_memo_index(arg: Any) -> int:
    if not 0 <= arg <= MAX_STEPS:
        raise InputError(f"its pickle numbers an object {arg:.3g}")
    return arg


def _top_container(stack: list[Any], kind: type) -> Any:
    if type(stack[-1]) is not kind:
        raise InputError(f"its pickle fills a {type(stack[-1]).__name__} as if it was a {kind.__name__}")
    return stack[-1]
