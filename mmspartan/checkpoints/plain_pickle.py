"""Unpickling of tensors, plain containers and the stand-ins of ``stock_checkpoint.py`` before torch 2.5.

The weights-only loading of these versions accepts no further classes. This module is what ``torch.load`` takes as
``pickle_module``: it calls nothing but torch's own list for weights-only loading, the stand-ins, ``set`` and
``Counter``, and sets the state of nothing else.
"""

import pickle
from collections import Counter, OrderedDict
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import torch

from .stock_checkpoint import STAND_INS, NotPlainError, StoredArray, StoredDtype, StoredHistory

# What pickles of numbers, strings, tensors and containers consist of.
OPCODES = (
    *('PROTO', 'FRAME', 'STOP', 'MARK', 'POP', 'POP_MARK', 'NONE', 'NEWTRUE', 'NEWFALSE'),
    *('BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT', 'BINUNICODE', 'SHORT_BINUNICODE', 'BINUNICODE8'),
    *('SHORT_BINSTRING', 'BINBYTES', 'SHORT_BINBYTES', 'BINBYTES8', 'EMPTY_LIST', 'EMPTY_DICT', 'EMPTY_TUPLE'),
    *('EMPTY_SET', 'TUPLE', 'TUPLE1', 'TUPLE2', 'TUPLE3', 'APPEND', 'APPENDS', 'SETITEM', 'SETITEMS', 'ADDITEMS'),
    *('BINGET', 'LONG_BINGET', 'BINPUT', 'LONG_BINPUT', 'MEMOIZE', 'BINPERSID', 'GLOBAL', 'STACK_GLOBAL'),
)


class Unpickler(pickle._Unpickler):
    """Python's unpickler with the opcodes above, calls of what :func:`callables` lists, and states of stand-ins."""

    stack: list[Any]
    dispatch: ClassVar[dict[int, Any]] = {
        code: method
        for code, method in pickle._Unpickler.dispatch.items()
        if code in {getattr(pickle, name)[0] for name in OPCODES}
    }

    def find_class(self, module: str, name: str) -> Any:
        module = {'__builtin__': 'builtins'}.get(module, module)
        if f'{module}.{name}' not in callables():
            raise pickle.UnpicklingError(f'Unsupported global: GLOBAL {module}.{name}')
        return callables()[f'{module}.{name}']

    def load_reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack[-1]
        if not any(function is allowed for allowed in callables().values()):
            raise NotPlainError('a call of something that is not a function of weights')
        self.stack[-1] = function(*arguments)

    def load_newobj(self) -> None:
        arguments = self.stack.pop()
        kind = self.stack[-1]
        if kind not in (StoredArray, StoredDtype, StoredHistory, torch.nn.Parameter):
            raise NotPlainError('an object that is no tensor')
        self.stack[-1] = kind.__new__(kind, *arguments)

    def load_build(self) -> None:
        state = self.stack.pop()
        instance = self.stack[-1]
        if type(instance) in (StoredArray, StoredDtype, StoredHistory):
            instance.__setstate__(state)
        elif type(instance) is OrderedDict and type(state) is dict:
            instance.__dict__.update(state)
        else:
            raise NotPlainError(f'a state of a {type(instance).__name__}')

    dispatch[pickle.REDUCE[0]] = load_reduce
    dispatch[pickle.NEWOBJ[0]] = load_newobj
    dispatch[pickle.BUILD[0]] = load_build


def load(file: Any, **options: Any) -> Any:
    """Read one pickle, as ``pickle.load``; files in the format of torch before 1.6 consist of several."""
    return Unpickler(file, **options).load()


def encoded(text: Any, encoding: Any) -> bytes:
    """Stand-in for ``codecs.encode``, by which pickles of protocol 2 hold bytes."""
    if type(text) is not str or encoding != 'latin1':
        raise NotPlainError('an encoding of something else than bytes')
    return text.encode('latin1')


@cache
def callables() -> dict[str, Callable]:
    """What a pickle may name: torch's own list for weights-only loading, and the stand-ins."""
    from torch._weights_only_unpickler import _get_allowed_globals

    stand_ins = {f'{item.__module__}.{item.__qualname__}': item for item in STAND_INS}
    later = {'collections.Counter': Counter, 'builtins.set': set}  # on torch's list of newer versions; MultiStepLR's
    return {**_get_allowed_globals(), **stand_ins, **later, '_codecs.encode': encoded}
