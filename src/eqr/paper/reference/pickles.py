"""Reads a torch pickle without running it.

A pickle is a program that may call anything it names. The stack machine below follows its instructions and keeps plain
data, names and descriptions of tensors. The machine imports, calls and builds nothing, so a file cannot make it run any
code; it refuses instructions and calls that no checkpoint needs. Knows no zip and no network.
"""

import pickletools
import warnings
from typing import NamedTuple

from eqr.errors import InputError


class Name(NamedTuple):
    """A class or a function that the pickle names."""

    dotted: str


class Inert:
    """Stands for an object of a foreign class; the object's content is dropped."""


class Storage(NamedTuple):
    """The place of a tensor's bytes: ``length`` numbers of type ``kind`` in the entry ``key``."""

    kind: str
    key: str
    length: int


class Described(NamedTuple):
    """A tensor as a view of a storage. Its numbers are unchecked: any integers."""

    storage: Storage
    offset: int
    shape: tuple[object, ...]
    stride: tuple[object, ...]


# Functions that pickles of random states, optimizers and configurations call. The objects they make are not needed.
HARMLESS = frozenset(
    [
        *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
        *(f"numpy.random._pickle.__{name}_ctor" for name in ("randomstate", "generator", "bit_generator")),
        *(f"{module}.{name}" for module in ("builtins", "__builtin__") for name in ("set", "frozenset")),
        *("numpy.random.bit_generator.__pyx_unpickle_SeedSequence", "numpy.dtype", "numpy.ndarray"),
        *("_codecs.encode", "torch.device", "torch.Size"),
    ]
)
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
# Instructions whose argument is the value.
LITERALS = frozenset(
    [
        *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING"),
        *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    ]
)


def unpickled(data: bytes, source: str) -> object:
    """Returns the object pickled in ``data`` (protocols 2 to 5), made of plain data and of the classes above.

    Raises InputError, which begins with ``source``, if the pickle is damaged or would call anything else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # about odd escapes in a damaged name
            return _Machine(source).run(data)
    except InputError:
        raise
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise InputError(f"{source} holds a damaged pickle ({str(error)[:80]!r}): get the file again") from None


class _Machine:
    def __init__(self, source: str) -> None:
        self.source = source
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[object, object] = {}

    def run(self, data: bytes) -> object:
        for code, argument, _ in pickletools.genops(data):
            known = self._plain(code.name, argument) or self._container(code.name) or self._object(code.name, argument)
            if not known:
                raise InputError(
                    f"{self.source} has the pickle instruction {code.name}, which torch.save does not write: "
                    f"refused, nothing of it was run"
                )
        return self.stack.pop()

    def _since_mark(self) -> list[object]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _plain(self, code: str, argument: object) -> bool:
        """Carry out an instruction on single values; returns False for any other instruction."""
        if code in LITERALS:
            self.stack.append(argument)
        elif code in CONSTANTS:
            self.stack.append(CONSTANTS[code])
        elif code in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif code == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif code in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif code == "POP":
            self.stack.pop()
        else:
            return code in ("PROTO", "FRAME", "STOP")
        return True

    def _container(self, code: str) -> bool:
        """Carry out an instruction on tuples, lists, dicts and sets; returns False for any other instruction."""
        stack = self.stack
        match code:
            case "MARK":
                self.marks.append(len(stack))
            case "POP_MARK":
                self._since_mark()
            case "TUPLE":
                stack.append(tuple(self._since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                items = [stack.pop() for _ in range(int(code[-1]))]
                stack.append(tuple(reversed(items)))
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_SET":
                stack.append(Inert())
            case "FROZENSET":
                self._since_mark()
                stack.append(Inert())
            case "APPEND" | "SETITEM":
                self._extend([stack.pop() for _ in range(1 + (code == "SETITEM"))][::-1])
            case "APPENDS" | "SETITEMS" | "ADDITEMS":
                self._extend(self._since_mark())
            case _:
                return False
        return True

    def _extend(self, items: list[object]) -> None:
        """Add items to the list, or alternating keys and values to the dict, on top of the stack."""
        target = self.stack[-1]
        if isinstance(target, list):
            target += items
        elif isinstance(target, dict):
            # Other keys are not needed, and hashing nested tuples may take for ever.
            target.update(
                (key, value) for key, value in zip(items[::2], items[1::2], strict=True) if isinstance(key, str | int)
            )

    def _object(self, code: str, argument: object) -> bool:
        """Carry out an instruction that names, makes or calls something; returns False for any other instruction."""
        stack = self.stack
        match code:
            case "GLOBAL":
                stack.append(Name(str(argument).replace(" ", ".")))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(Name(f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else "?"))
            case "NEWOBJ" | "NEWOBJ_EX":
                del stack[-2 - (code == "NEWOBJ_EX") :]
                stack.append(Inert())
            case "BUILD":  # an object's attributes
                stack.pop()
            case "BINPERSID":
                stack.append(self._storage(stack.pop()))
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(self._called(function, arguments))
            case "INST":
                raise self._refused(str(argument).replace(" ", "."))
            case _:
                return False
        return True

    def _storage(self, identity: object) -> Storage:
        match identity:
            case ("storage", Name(kind), str(key), str(), int(length)):
                return Storage(kind, key, length)
        raise InputError(f"{self.source} refers to something that is not a tensor's storage: get the file again")

    def _called(self, function: object, arguments: object) -> object:
        """Returns a stand-in for a call's result; raises InputError unless that is a tensor, a dict or not needed."""
        name = function.dotted if isinstance(function, Name) else "an object of its own"
        match name, arguments:
            case "torch._utils._rebuild_tensor_v2", (Storage() as storage, int(offset), tuple(size), tuple(stride), *_):
                return Described(storage, offset, size, stride)
            case "torch._utils._rebuild_parameter", (Described() as tensor, *_):
                return tensor
            case ("collections.OrderedDict", ()) | ("collections.defaultdict", (_,)):
                return {}
        if name in HARMLESS:
            return Inert()
        raise self._refused(name)

    def _refused(self, name: str) -> InputError:
        shown = repr(name)[1:-1]  # control characters must not reach a terminal
        return InputError(
            f"{self.source} would call {shown}: refused, nothing of it was run; "
            f"no checkpoint of the reference trainer does this, get the file from another place"
        )
