"""C functions as Python objects hold them: their address, their signature, and the name to import them by."""

import ctypes
import re
import sys
from importlib import import_module
from pickle import PicklingError
from typing import NamedTuple

PLAIN = "double (double, double)"
WITH_DATA = "double (double, double, void *)"
ACCEPTED = (
    "a numba cfunc, a scipy.LowLevelCallable, a ctypes or cffi function pointer, a capsule, or 'module:name' of one"
)

_POINTER_TO_FUNCTION = ctypes.CFUNCTYPE(None).__bases__[0]
_NEEDS_GIL = 0x4  # ctypes' FUNCFLAG_PYTHONAPI
_capsule_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
_capsule_context = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object)(("PyCapsule_GetContext", ctypes.pythonapi))
_capsule_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class Pointer(NamedTuple):
    """A C function, ready to be called.

    Attributes
    ----------
    address : int
        Of the function.
    data : int
        The third argument of a function that takes one.
    takes_data : bool
        Whether it does.
    """

    address: int
    data: int
    takes_data: bool


def find(given, role, loss):
    """Where a C function is, its signature checked.

    Parameters
    ----------
    given : object
        What the user handed over for it.
    role : str
        "value", "gradient" or "hessian", for errors.
    loss : str
        The loss's name, for errors.

    Returns
    -------
    Pointer

    Raises
    ------
    TypeError
        If it is not a C function, its signature cannot be told or is another, or it may be called with the GIL only.
    """
    who = f"{role} of the loss {loss!r}"
    function = by_name(given, who) if isinstance(given, str) else given
    data = None
    declared = None
    if hasattr(function, "signature") and hasattr(function, "user_data"):  # scipy.LowLevelCallable
        function, data, declared = function.function, function.user_data, function.signature
    elif hasattr(function, "ctypes") and hasattr(function, "address"):  # numba's cfunc
        function = function.ctypes
    address, signature, context = _parts(function, who)
    signature = _normal(declared or signature)
    if signature not in (PLAIN, WITH_DATA):
        raise TypeError(f"{who} has the signature {signature!r}; a C function of a loss is {PLAIN!r}: of y and p.")
    if not address:
        raise TypeError(f"{who} is a null pointer.")
    return Pointer(address, context if data is None else _address(data, who), signature == WITH_DATA)


def _parts(function, who):
    """Address, signature and context of a pointer that ctypes, cffi or a capsule holds."""
    if isinstance(function, _POINTER_TO_FUNCTION):
        if function._flags_ & _NEEDS_GIL:
            raise TypeError(f"{who} is a PYFUNCTYPE, which needs the GIL; losses run without: use ctypes.CFUNCTYPE.")
        if function.argtypes is None:
            raise TypeError(f"{who} is a ctypes function that declares no signature: set its argtypes and restype.")
        types = ", ".join(map(_spell, function.argtypes))
        return _address(function, who), f"{_spell(function.restype)} ({types})", 0
    if type(function).__name__ == "PyCapsule":
        name = _capsule_name(function)
        return _capsule_pointer(function, name), (name or b"").decode(), _capsule_context(function) or 0
    if _is_cffi(function) and _cffi().typeof(function).kind == "function":
        signature = _cffi().typeof(function)
        types = ", ".join(type_.cname for type_ in signature.args) + (", ..." if signature.ellipsis else "")
        return _address(function, who), f"{signature.result.cname} ({types})", 0
    hint = ""
    if hasattr(function, "__code__"):
        hint = " Compile a Python function with numba.cfunc, or use an object with vectorised value and gradient."
    elif _is_cffi(function):
        hint = " Say what it points to: ffi.cast('double(*)(double, double)', pointer)."
    elif type(function).__name__ == "builtin_function_or_method":
        hint = " Of a function in a compiled cffi library give ffi.addressof(lib, 'name')."
    raise TypeError(f"{who} must be {ACCEPTED}; got {function!r}.{hint}")


def _spell(type_):
    """A ctypes type in C."""
    if type_ is None or type_ is ctypes.c_void_p:
        return "void *" if type_ else "void"
    return type_.__name__.removeprefix("c_")


def _normal(signature):
    """A signature with its blanks where C programmers put them."""
    spaced = " ".join(re.findall(r"\w+|\S", signature))
    return spaced.replace("( ", "(").replace(" ,", ",").replace(" )", ")")


def _cffi():
    return sys.modules["_cffi_backend"]


def _is_cffi(pointer):
    return "_cffi_backend" in sys.modules and isinstance(pointer, _cffi()._CDataBase)


def _address(pointer, who):
    """The address that a pointer holds."""
    if isinstance(pointer, (_POINTER_TO_FUNCTION, ctypes.c_void_p)):
        return ctypes.cast(pointer, ctypes.c_void_p).value or 0
    if _is_cffi(pointer):
        return int(_cffi().cast(_cffi().new_primitive_type("uintptr_t"), pointer))
    if type(pointer).__name__ == "PyCapsule":
        return _capsule_pointer(pointer, _capsule_name(pointer))
    raise TypeError(f"user_data of {who} must be a ctypes or cffi pointer or a capsule; got {pointer!r}.")


def by_name(name, who):
    """Import ``"package.module:attribute"``."""
    module, colon, path = name.partition(":")
    try:
        found = import_module(module) if module and colon and path else None
        for attribute in path.split("."):
            found = getattr(found, attribute)
    except (ImportError, AttributeError) as error:
        raise TypeError(f"{who}: nothing to import as {name!r} ({error}).") from error
    return found


def importable(given, role, loss):
    """The name by which another process finds the same C function.

    Raises
    ------
    PicklingError
        If there is none: an address means nothing in another process.
    """
    if given is None or isinstance(given, str):
        return given
    source = getattr(given, "__wrapped__", None)  # the Python function that numba compiled
    name = f"{getattr(source, '__module__', None)}:{getattr(source, '__qualname__', None)}"
    try:
        if source is not None and by_name(name, role) is given:
            return name
    except TypeError:
        pass
    raise PicklingError(
        f"The loss {loss!r} cannot be pickled: its {role} is an address in this process, {given!r}. "
        f"Give the function by a name that can be imported, as in CFunctionLoss(..., {role}='module:name')."
    )
