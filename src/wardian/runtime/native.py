"""Raw addresses: system calls, machine words, signals, and the few CPython types made by hand.

+----------------------------------------------------------------------------------------------------------------------+
| DANGER. The only file that turns integers into memory. Every function here trusts its caller's addresses; callers
pass|
| only addresses they got from here, and sizes they computed themselves, never a number a guest chose unchecked.       |
+----------------------------------------------------------------------------------------------------------------------+

It knows no WebAssembly. Linux x86-64 is what has been run.
"""

from __future__ import annotations

import ctypes
import os
import threading
from array import array
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar, final

PAGE: Final = 4096
_LARGE: Final = 64 << 10
"""Bytes of which there should be no more copies than needed."""

T = TypeVar("T")

_PROT_NONE, _PROT_READ, _PROT_WRITE, _PROT_EXEC = 0, 1, 2, 4
_MAP_PRIVATE, _MAP_FIXED, _MAP_ANONYMOUS, _MAP_NORESERVE = 0x02, 0x10, 0x20, 0x4000
_MAP_FAILED: Final = (1 << 64) - 1
_MADV_DONTNEED: Final = 4
_RESERVED: Final = _MAP_PRIVATE | _MAP_ANONYMOUS | _MAP_NORESERVE

_SA_SIGINFO, _SA_ONSTACK, _SA_NODEFER, _SA_RESTART = 4, 0x08000000, 0x40000000, 0x10000000

_WORD: Final = ctypes.c_uint64


@final
class Libc:
    """The C functions used, with their types; the GIL is held around every call, and each returns at once."""

    def __init__(self) -> None:
        lib = ctypes.PyDLL(None, use_errno=True)
        word, size, c_int = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        self.mmap = self._function(lib, "mmap", _WORD, _WORD, size, c_int, c_int, c_int, ctypes.c_long)
        self.munmap = self._function(lib, "munmap", c_int, _WORD, size)
        self.mprotect = self._function(lib, "mprotect", c_int, _WORD, size, c_int)
        self.madvise = self._function(lib, "madvise", c_int, _WORD, size, c_int)
        self.sigaction = self._function(lib, "sigaction", c_int, c_int, word, word)
        self.pthread_key_create = self._function(lib, "pthread_key_create", c_int, word, word)
        self.pthread_setspecific = self._function(lib, "pthread_setspecific", c_int, ctypes.c_uint, _WORD)
        self.pthread_getspecific = self._function(lib, "pthread_getspecific", _WORD, ctypes.c_uint)
        self.pthread_self = self._function(lib, "pthread_self", _WORD)
        self.pthread_kill = self._function(lib, "pthread_kill", c_int, _WORD, c_int)
        self.pthread_getattr_np = self._function(lib, "pthread_getattr_np", c_int, _WORD, word)
        self.pthread_attr_getstack = self._function(lib, "pthread_attr_getstack", c_int, word, word, word)
        self.pthread_attr_destroy = self._function(lib, "pthread_attr_destroy", c_int, word)
        self.calloc = self._function(lib, "calloc", _WORD, size, size)
        self.lib = lib

    @staticmethod
    def _function(lib: ctypes.PyDLL, name: str, result: Any, *args: Any) -> Any:
        function = lib[name]  # an own function object, so the types below are nobody else's
        function.restype = result
        function.argtypes = args
        return function


@final
class Native:
    """Memory, threads and signals of this process. One per process, made by :mod:`wardian.runtime.process`."""

    def __init__(self) -> None:
        self.libc = Libc()
        self._functions: dict[int, Any] = {}
        self._methods: list[Any] = []

    # -- address space -------------------------------------------------------------------------------------------------

    def reserve(self, size: int) -> int | None:
        """Address of ``size`` fresh inaccessible bytes, or ``None`` if there is no such room."""
        at: int = self.libc.mmap(0, size, _PROT_NONE, _RESERVED, -1, 0)
        return None if at == _MAP_FAILED else at

    def commit(self, at: int, size: int) -> bool:
        """Make reserved pages readable and writable (zero); ``False`` if the system has none."""
        # SAFETY: callers pass whole pages inside a reservation they own.
        return size == 0 or self.libc.mprotect(at, size, _PROT_READ | _PROT_WRITE) == 0

    def map_private(self, at: int, size: int, fd: int) -> bool:
        """Map the first ``size`` bytes of ``fd`` copy-on-write over reserved pages."""
        # SAFETY: MAP_FIXED replaces only pages of a reservation the caller owns.
        got = self.libc.mmap(at, size, _PROT_READ | _PROT_WRITE, _MAP_PRIVATE | _MAP_FIXED, fd, 0)
        return bool(got == at)

    def map_shown(self, size: int, fd: int) -> int | None:
        """Address of a mapping of the first ``size`` bytes of ``fd`` that can only be read; ``None`` if there is no
        room."""
        at: int = self.libc.mmap(0, size, _PROT_READ, _MAP_PRIVATE, fd, 0)
        return None if at == _MAP_FAILED else at

    def discard(self, at: int, size: int) -> bool:
        """Undo all writes to committed pages: mapped privately they show their file again, others are zero.

        ``False`` if the system refuses (pages that are locked in memory).
        """
        # SAFETY: callers pass whole committed pages of a reservation they own; their protection stays as it is.
        return bool(self.libc.madvise(at, size, _MADV_DONTNEED) == 0)

    def decommit(self, at: int, size: int) -> bool:
        """Give pages back and make them inaccessible; whoever gets them next sees zeros.

        ``False`` if the system refuses, as it may when a mapping must be cut in pieces: then they are as they were.
        """
        # SAFETY: MAP_FIXED replaces only pages of a reservation the caller owns.
        return size == 0 or self.libc.mmap(at, size, _PROT_NONE, _RESERVED | _MAP_FIXED, -1, 0) == at

    def seal(self, at: int, size: int) -> None:
        """Make written pages executable and no longer writable."""
        # SAFETY: W^X: from here on the pages are never writable again while mapped.
        if self.libc.mprotect(at, size, _PROT_READ | _PROT_EXEC) != 0:
            raise MemoryError("the system refuses executable memory (SELinux or a hardened kernel?)")

    def release(self, at: int, size: int) -> None:
        self.libc.munmap(at, size)

    def words(self, at: int, count: int) -> memoryview:
        """``count`` words from ``at`` on, accessible as far as they are committed; they must outlive the view."""
        # SAFETY: callers pass a reservation they own, and use of it only what they have committed.
        return memoryview((_WORD * count).from_address(at)).cast("B").cast("Q")

    # -- words and bytes -----------------------------------------------------------------------------------------------

    def peek(self, at: int) -> int:
        # SAFETY: ``at`` is a word of a structure of vm.layout that its owner keeps alive, or checked to be committed.
        return _WORD.from_address(at).value

    def peek32(self, at: int) -> int:
        # SAFETY: callers checked that 4 bytes are committed at ``at``.
        return ctypes.c_uint32.from_address(at).value

    def poke(self, at: int, value: int) -> None:
        # SAFETY: as for peek.
        _WORD.from_address(at).value = value

    def write(self, at: int, data: bytes | bytearray | memoryview) -> None:
        """Copy bytes to committed memory."""
        # SAFETY: callers checked that len(data) bytes are committed at ``at``.
        if len(data) >= _LARGE:
            memoryview((ctypes.c_char * len(data)).from_address(at)).cast("B")[:] = data
        elif len(data):
            ctypes.memmove(at, bytes(data), len(data))

    def read(self, at: int, size: int) -> bytes:
        # SAFETY: callers checked that ``size`` bytes are committed at ``at``.
        return ctypes.string_at(at, size)

    def symbol(self, name: str) -> int:
        """Address of a C function of this process (libc or CPython)."""
        return ctypes.cast(self.libc.lib[name], ctypes.c_void_p).value or 0

    def call(self, address: int, *args: int) -> None:
        """Call generated glue of type ``void (words...)`` with the GIL held."""
        function = self._functions.get(address)
        if function is None:
            # SAFETY: ``address`` is a core image function with exactly these parameters, always as many.
            function = self._functions[address] = ctypes.PYFUNCTYPE(None, *[_WORD] * len(args))(address)
        function(*args)

    def builtin(self, name: str, address: int) -> Callable[..., Any]:
        """Generated glue of type ``PyObject *(self, arguments, how many)`` as a builtin function."""
        method = _MethodDef(name.encode(), address, _METH_FASTCALL, None)
        self._methods.append(method)
        make = ctypes.pythonapi["PyCFunction_NewEx"]
        make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        # SAFETY: ``address`` is a core image function of this type, which looks at how many arguments it has and what
        # they are; it is mapped, and the definition held, for the life of the process.
        function: Callable[..., Any] = make(ctypes.addressof(method), None, None)
        return function

    # -- threads -------------------------------------------------------------------------------------------------------

    def new_key(self) -> int:
        """A pthread key whose values ``free`` releases when their thread ends."""
        key = ctypes.c_uint()
        if self.libc.pthread_key_create(ctypes.byref(key), self.symbol("free")) != 0:
            raise MemoryError("no pthread key left")
        return key.value

    def thread_stack(self) -> tuple[int, int]:
        """``(lowest address, size)`` of the calling thread's stack; a conservative answer where it is unlimited."""
        attr = (ctypes.c_uint64 * 16)()
        at, size = ctypes.c_size_t(), ctypes.c_size_t()
        if self.libc.pthread_getattr_np(self.libc.pthread_self(), attr) != 0:
            raise OSError("the thread's stack bounds are unknown")
        self.libc.pthread_attr_getstack(attr, ctypes.byref(at), ctypes.byref(size))
        self.libc.pthread_attr_destroy(attr)
        usable = min(size.value, 8 << 20) if threading.current_thread() is threading.main_thread() else size.value
        return at.value + size.value - usable, usable

    def signal_thread(self, pthread: int, number: int) -> None:
        """Send a signal to a thread known to be alive (it is inside a guest while the caller holds the GIL)."""
        self.libc.pthread_kill(pthread, number)

    # -- signals -------------------------------------------------------------------------------------------------------

    def handler(self, number: int) -> int:
        """Address of the present handler of a signal (0 default, 1 ignored)."""
        old = (ctypes.c_uint64 * 20)()
        self.libc.sigaction(number, None, old)
        return int(old[0])

    def install(self, number: int, address: int, *, alternate_stack: bool = False, restart: bool = False) -> int:
        """Install a handler of generated glue and return the previous one's address.

        ``restart``: system calls go on afterwards where they can, so host code that knows nothing of it is not upset.
        """
        # struct sigaction of glibc on 64-bit Linux: handler, mask (128 bytes), flags, restorer.
        new, old = (ctypes.c_uint64 * 20)(), (ctypes.c_uint64 * 20)()
        new[0] = address
        flags = _SA_SIGINFO | _SA_NODEFER | (_SA_ONSTACK if alternate_stack else 0) | (_SA_RESTART if restart else 0)
        ctypes.cast(ctypes.addressof(new) + 136, ctypes.POINTER(ctypes.c_int))[0] = flags
        # SAFETY: the handler is glue that stays mapped for the life of the process.
        if self.libc.sigaction(number, new, old) != 0:
            raise OSError(ctypes.get_errno(), "sigaction")
        return int(old[0])


def no_copy(self: object, protocol: object = None) -> NoReturn:
    """``__reduce_ex__`` of whatever owns something that exists once: neither ``copy`` nor ``pickle`` may double it."""
    raise TypeError(f"cannot copy or pickle {type(self).__name__!r} object")


_ZERO: Final = array("Q", [0])


@final
class Block:
    """Zeroed memory at a fixed address, as machine words; lives as long as this object, or any part of it."""

    __slots__ = ("_keeper", "address", "words")
    __reduce_ex__ = no_copy

    def __init__(self, size: int) -> None:
        count = max(size + 7 >> 3, 1)
        # FAST: an array is made in a sixth of the time that a buffer of ctypes takes.
        # SAFETY: the array belongs to this object, and cannot move while it is viewed; a spare word aligns it.
        self._keeper: object = (buffer := _ZERO * (count + 1))
        raw, _ = buffer.buffer_info()
        skip = raw >> 3 & 1
        self.address = raw + 8 * skip
        self.words = memoryview(buffer)[skip : skip + count]

    def part(self, offset: int, size: int) -> Block:
        """``size`` bytes of this block from ``offset`` on, both multiples of 16, as a block that keeps the whole."""
        part = Block.__new__(Block)
        part._keeper = self._keeper
        part.address = self.address + offset
        part.words = self.words[offset >> 3 : (offset + size) >> 3]
        return part

    def keep(self, keeper: object) -> None:
        """Keep ``keeper`` alive as well. Before anyone else has the block, or a part of it."""
        self._keeper = self._keeper, keeper

    def lent(self, keeper: object) -> Block:
        """The same memory as a block that also keeps ``keeper`` alive."""
        lent = Block.__new__(Block)
        lent._keeper = self._keeper, keeper
        lent.address = self.address
        lent.words = self.words
        return lent

    @property
    def size(self) -> int:
        """Bytes."""
        return self.words.nbytes

    def __setitem__(self, offset: int, value: int) -> None:
        """Write the word at byte ``offset``."""
        self.words[offset >> 3] = value

    def __getitem__(self, offset: int) -> int:
        return self.words[offset >> 3]


# -- CPython types made by hand ----------------------------------------------------------------------------------------


class _MethodDef(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("meth", ctypes.c_void_p), ("flags", ctypes.c_int), ("doc", ctypes.c_char_p))


_METH_FASTCALL: Final = 0x80


class _Slot(ctypes.Structure):
    _fields_ = (("slot", ctypes.c_int), ("value", ctypes.c_void_p))


class _Spec(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("basicsize", ctypes.c_int),
        ("itemsize", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.POINTER(_Slot)),
    )


class _Member(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_T_PYSSIZET, _T_OBJECT_EX, _READONLY = 19, 16, 1
_TP_CALL, _TP_CLEAR, _TP_TRAVERSE, _TP_MEMBERS, _BF_GETBUFFER = 50, 51, 71, 72, 1
_DEFAULT, _HAVE_GC, _HAVE_VECTORCALL, _DISALLOW = 1 << 18, 1 << 14, 1 << 11, 1 << 7


def make_type(
    name: str, size: int, owner: int, *, vectorcall: int | None = None, weaklist: int | None = None, getbuffer: int = 0
) -> tuple[type, Any]:
    """A heap type with native fields and one owned reference at offset ``owner``: ``(type, descriptor of the owned
    one)``.

    Instances are collected as those of any Python class with ``__slots__`` are: CPython's own traverse, clear and
    dealloc walk the member table. The descriptor is taken off the type, so Python code can neither read nor replace the
    reference that keeps native memory alive. The type cannot be instantiated from Python; use :func:`new_object`.
    """

    class _Model:
        __slots__ = ("_",)

    get_slot = ctypes.pythonapi["PyType_GetSlot"]
    get_slot.restype, get_slot.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_int)
    members: list[Any] = [(b"_owner", _T_OBJECT_EX, owner, 0, None)]
    slots: list[Any] = [(_TP_TRAVERSE, get_slot(_Model, _TP_TRAVERSE)), (_TP_CLEAR, get_slot(_Model, _TP_CLEAR))]
    flags = _DEFAULT | _HAVE_GC | _DISALLOW
    if vectorcall is not None:
        members.append((b"__vectorcalloffset__", _T_PYSSIZET, vectorcall, _READONLY, None))
        call = ctypes.cast(ctypes.pythonapi["PyVectorcall_Call"], ctypes.c_void_p).value
        slots.append((_TP_CALL, call))
        flags |= _HAVE_VECTORCALL
    if weaklist is not None:
        members.append((b"__weaklistoffset__", _T_PYSSIZET, weaklist, _READONLY, None))
    if getbuffer:
        slots.append((_BF_GETBUFFER, getbuffer))
    member_rows = (_Member * (len(members) + 1))(*members)
    slots.append((_TP_MEMBERS, ctypes.addressof(member_rows)))
    slot_rows = (_Slot * (len(slots) + 1))(*slots)
    spec = _Spec(name.encode(), size, 0, flags, slot_rows)
    from_spec = ctypes.pythonapi["PyType_FromSpec"]
    from_spec.restype, from_spec.argtypes = ctypes.py_object, (ctypes.c_void_p,)
    # SAFETY: the offsets are rows of vm.layout; member_rows and spec outlive the call, and CPython copies both (names
    # of members are kept by pointer in 3.11, so the rows are kept with the type).
    made: type = from_spec(ctypes.addressof(spec))
    descriptor = made.__dict__["_owner"]
    del made._owner  # type: ignore[attr-defined]
    made.__rows__ = (member_rows, spec)  # type: ignore[attr-defined]
    return made, descriptor


def object_maker() -> Any:
    """``(type, offset, words, descriptor, owner) -> object`` of a type from :func:`make_type`."""
    alloc = ctypes.pythonapi["PyType_GenericAlloc"]
    alloc.restype, alloc.argtypes = ctypes.py_object, (ctypes.py_object, ctypes.c_ssize_t)

    def new_object(kind: type, offset: int, words: bytes, descriptor: Any, owner: object) -> Any:
        made = alloc(kind, 0)
        descriptor.__set__(made, owner)
        # SAFETY: ``words`` are all native fields, from ``offset`` on, of this freshly allocated, zeroed object.
        ctypes.memmove(id(made) + offset, words, len(words))
        return made

    return new_object


def bytes_address(data: bytes) -> int:
    """Address of an immutable bytes object's contents, which the caller keeps alive."""
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0


def address_of(obj: object) -> int:
    """``PyObject *`` of an object the caller keeps alive for as long as the address is used."""
    return id(obj)


def page_up(size: int) -> int:
    return (size + PAGE - 1) & -PAGE


def uncollected(kind: type[T]) -> type[T]:
    """Class decorator: the same class derived from ``int``, but its instances are unknown to Python's cycle collector.

    The collector finalises everything in a dying cycle before it takes anything of it apart, and a finaliser may still
    use all of it, or bring it back. What an instance of an ordinary class (even of ``class C(int)`` with no slots) gave
    back in its ``__del__`` would be missing then. ``__del__`` of these runs when the last reference has gone.
    """
    from_spec = ctypes.pythonapi["PyType_FromSpecWithBases"]
    from_spec.restype, from_spec.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object)
    name = f"{kind.__module__}.{kind.__qualname__}".encode()
    slots = (_Slot * 1)()
    spec = _Spec(name, 0, 0, _DEFAULT, slots)
    # SAFETY: a type with no fields of its own; the name and the spec live as long as the type.
    made: Any = from_spec(ctypes.addressof(spec), (int,))
    for key, value in vars(kind).items():
        if key not in ("__dict__", "__weakref__", "__slots__"):
            setattr(made, key, value)
    made.__reduce_ex__ = no_copy
    made.__rows__ = (slots, spec)
    return made  # type: ignore[no-any-return]


@uncollected
class OwnedFd(int):
    """A file descriptor, closed when the last reference to it goes."""

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self)


def anonymous_file(data: bytes | memoryview) -> OwnedFd:
    """An unnamed file with these contents. Raises ``OSError``."""
    fd = OwnedFd(os.memfd_create("wardian-image", os.MFD_CLOEXEC))
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(fd, view) :]
    return fd
