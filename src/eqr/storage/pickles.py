"""Reads a torch pickle without running it.

A pickle is a program that may call anything it names. The stack machine below follows its instructions and keeps plain
data, names and descriptions of tensors. The machine imports, calls and builds nothing, so a file cannot make it run any
code; it refuses instructions and calls that no checkpoint needs. Knows no zip and no network.
"""

import pickletools
import warnings
from typing import Any, NamedTuple

from eqr.errors import InputError, shown


class Name(NamedTuple):
    """A class or a function that the pickle names."""

    dotted: str


class Inert:
    """Stands for an object of a foreign class; the object's content is dropped."""


class Storage(NamedTuple):
    """The place of a tensor's bytes: ``length`` numbers of type ``kind`` in the entry ``key``; ``length`` is 0 or more.

    Nothing says that the entry exists or has that length.
    """

    kind: str
    key: str
    length: int


class Described(NamedTuple):
    """A tensor as a view of a storage: as many strides as sizes, all of them 0 or more.

    Nothing says that it lies within the storage.
    """

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


MOST_INSTRUCTIONS = 1_000_000
"""Instructions of a pickle that are followed. A checkpoint with its optimizer has some thousands; a file of nothing but
instructions may have a hundred millions.
"""
MOST_NAMED, MOST_AXES, MOST_COUNTED = 200, 8, 2**48
"""Largest length of a class's name, number of axes of a tensor, and size, stride or dict key. Each bounds the time that
one instruction takes: long names are copied, and integers that are multiples of 2^61 - 1 have one hash for all.
"""
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
        *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING"),
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
        raise InputError(f"{source} holds a damaged pickle ({shown(str(error))}): get the file again") from None


class _Machine:
    def __init__(self, source: str) -> None:
        self.source = source
        self.stack: list[object] = []
        self.marks: list[int] = []
        self.memo: dict[object, object] = {}

    def run(self, data: bytes) -> object:
        for number, (code, argument, _) in enumerate(pickletools.genops(data)):
            if number == MOST_INSTRUCTIONS:
                raise InputError(
                    f"{self.source} has a pickle of more than {MOST_INSTRUCTIONS:,} instructions, and no checkpoint "
                    f"needs as many: save the weights alone, or get the file from another place"
                )
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
                (key, value)
                for key, value in zip(items[::2], items[1::2], strict=True)
                if isinstance(key, str) or _counted(key)
            )

    def _object(self, code: str, argument: object) -> bool:
        """Carry out an instruction that names, makes or calls something; returns False for any other instruction."""
        stack = self.stack
        match code:
            case "GLOBAL":
                stack.append(self._name(*str(argument).split(" ", 1)))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(self._name(module, name))
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

    def _name(self, module: object, name: object) -> Name:
        if not isinstance(module, str) or not isinstance(name, str) or len(module) + len(name) > MOST_NAMED:
            raise InputError(f"{self.source} names a class in a way that torch.save does not: get the file again")
        return Name(f"{module}.{name}")

    def _storage(self, identity: object) -> Storage:
        match identity:
            case ("storage", Name(kind), str(key), str(), int(length)) if _counted(length):
                return Storage(kind, key, length)
        raise InputError(f"{self.source} refers to something that is not a tensor's storage: get the file again")

    def _called(self, function: object, arguments: object) -> object:
        """Returns a stand-in for a call's result; raises InputError unless that is a tensor, a dict or not needed."""
        name = function.dotted if isinstance(function, Name) else "an object of its own"
        match name, arguments:
            case "torch._utils._rebuild_tensor_v2", (Storage() as storage, int(offset), tuple(size), tuple(stride), *_):
                return self._described(storage, offset, size, stride)
            case "torch._utils._rebuild_parameter", (Described() as tensor, *_):
                return tensor
            case ("collections.OrderedDict", ()) | ("collections.defaultdict", (_,)):
                return {}
        if name in HARMLESS:
            return Inert()
        raise self._refused(name)

    def _described(self, storage: Storage, offset: int, size: tuple[Any, ...], stride: tuple[Any, ...]) -> Described:
        if not len(size) == len(stride) <= MOST_AXES or not all(map(_counted, (offset, *size, *stride))):
            raise InputError(f"{self.source} describes a tensor in a way that torch.save does not: get the file again")
        return Described(storage, offset, size, stride)

    def _refused(self, name: str) -> InputError:
        return InputError(
            f"{self.source} would call {shown(name)}: refused, nothing of it was run; "
            f"no checkpoint of a trainer does this, get the file from another place"
        )


def _counted(value: object) -> bool:
    return isinstance(value, int) and 0 <= value <= MOST_COUNTED
