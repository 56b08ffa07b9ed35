"""What generated glue asks of Python: odd arguments, reference values, traps. Bound once per process.

Invariant: these run with the GIL held, on the stack of the guest that called, and leave either by returning a value the
glue can unbox or by raising.
"""

from __future__ import annotations

from typing import Any, Final

from wardian.errors import Frame, Interrupted, StoreBusy, Trap, WasmException, printable
from wardian.runtime import references, values
from wardian.runtime.function import FuncInstance, HostFunc
from wardian.runtime.process import Process
from wardian.runtime.store import Store
from wardian.syntax.types import F32, F64, V128, RefType, ValType
from wardian.vm.layout import ACTIVATION, STORE, THREAD
from wardian.vm.traps import STOPS, TRAPS, TrapCode

_WORD: Final = (1 << 64) - 1


def bind(process: Process) -> None:
    """Put this module's functions, and the instance methods glue calls, into the builtins table."""
    instance_of = process.types.instance_of

    def function_of(owner: object) -> FuncInstance:
        return owner.instance if isinstance(owner, HostFunc) else instance_of(owner)

    def slow_call(func: Any, *args: Any, **kwargs: Any) -> Any:
        return _slow_call(process, instance_of(func), func, args, kwargs)

    def trap(func: Any) -> None:
        error = current_trap(process)
        root = instance_of(func).store.root()
        root.forgive()
        if not root.running() and root.stopping() is TrapCode.INTERRUPT:
            root.settle()
        raise error

    def box(owner: object, position: int, word: int) -> Any:
        f = function_of(owner)
        type_, _ = _place(f, position)
        return references.from_word(word, type_, f.types, f.store)

    def unbox(owner: object, position: int, value: Any) -> Any:
        f = function_of(owner)
        type_, what = _place(f, position)
        if isinstance(type_, RefType):
            return references.to_ref(value, type_, f.types, f.store, what)
        if type_ is V128:
            return values.to_vector(value, what)
        return values.to_float(value, type_, what) if type_ in (F32, F64) else values.to_int(value, type_, what)

    def results(owner: HostFunc, value: Any) -> tuple[Any, ...]:
        f = owner.instance
        wanted = len(f.type.results)
        # The tuple made here is counted, not what was returned: a subclass may say anything of its length.
        items = tuple(value) if isinstance(value, (tuple, list)) else ()
        if len(items) != wanted:
            raise TypeError(
                f"{printable(f.name)}() must return a sequence of {wanted} results {f.type}, "
                f"not {values.kind_of(value)}"
            )
        return items

    def exception(func: Any) -> None:
        raise pending_exception(instance_of(func).store.root())

    def throw(owner: HostFunc, error: object) -> bool:
        store = owner.instance.store.root()
        if not isinstance(error, WasmException) or not store.exceptions:
            return False
        try:
            throw_in(store, error)
        except Exception as unfit:
            raise unfit from error
        return True

    def memory_wait(owner: Any, memory: int, at: int, size: int, expected: int, timeout: int) -> int:
        shared = owner.memories[memory]
        seconds = (timeout if timeout < 1 << 63 else -1) / 1e9
        return int(shared.parking.wait(owner.store.root(), at, lambda: shared.word(at, size) == expected, seconds))

    for name, function in (
        ("py_slow_call", slow_call),
        ("py_trap", trap),
        ("py_box", box),
        ("py_unbox", unbox),
        ("py_results", results),
        ("py_exception", exception),
        ("py_throw", throw),
        ("py_function_number", lambda owner, ref: owner.store.function_number(ref)),
        ("py_resolve", lambda owner, index: owner.resolve(index)),
        ("py_hot", lambda owner, index, site: owner.hot(index, site)),
        ("py_memory_grow", lambda owner, memory, delta: owner.memories[memory].grow(delta)),
        ("py_memory_wait", memory_wait),
        ("py_memory_notify", lambda owner, memory, at, count: owner.memories[memory].parking.notify(at, count)),
        ("py_table_grow", lambda owner, table, delta, word: owner.tables[table].grow(delta, word)),
    ):
        process.bind(name, function)


def _place(f: FuncInstance, position: int) -> tuple[ValType, str]:
    """Type and description of a parameter (``position >= 0``) or result (``-1 - position``)."""
    if position >= 0:
        return f.type.params[position], f"{printable(f.name)}() argument {position + 1}"
    return f.type.results[-1 - position], f"{printable(f.name)}() result {-position}"


def _slow_call(process: Process, f: FuncInstance, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The glue could not call: say why, or prepare what was missing (this thread's record) and call again."""
    if kwargs:
        raise TypeError(f"{printable(f.name)}() takes no keyword arguments")
    wanted = len(f.type.params)
    if len(args) != wanted:
        name = f"{printable(f.name)}()"
        raise TypeError(f"{name} takes {wanted} argument{'s' * (wanted != 1)} {f.type}, {len(args)} given")
    thread = process.thread()
    root = f.store.root()
    inside = root.block[STORE.at["thread"]]
    if inside and inside != thread:
        raise StoreBusy(
            f"{printable(f.name)}(): its instance is running on another thread; "
            "use one instance per thread, or a lock"
        )
    code = root.stopping()
    if code is not None:
        if not inside:
            root.settle()
        raise Interrupted(*TRAPS[code])
    process.watch_signals()
    return func(*args)


def pending_exception(store: Store) -> WasmException:
    """The exception that has left the store's last guest frame, as Python's; leaving the store makes it pending no
    longer. Whatever is called meanwhile, the entry's activation holds it.
    """
    return references.exception_at(store.heap(), store.block[STORE.at["pending"]])


def throw_in(store: Store, error: WasmException) -> None:
    """Make ``error`` pending in the store. Raises ``TypeError`` if its payload does not fit its tag."""
    store.block[STORE.at["pending"]] = references.make_exception(store, error).reference


def callers(process: Process, most: int) -> list[str]:
    """The guest functions that led to the host function which runs on this thread, innermost first and as a backtrace
    names them, at most ``most``. Of use only before the host function calls a guest itself.
    """
    peek = process.native.peek
    thread = process.thread()
    low = frame = peek(thread + THREAD.at["host_fp"])
    activation = peek(thread + THREAD.at["activation"])
    end = peek(activation + ACTIVATION.at["fp"]) if activation else 0
    names: list[str] = []
    # As in a trap's backtrace: the chain is followed only while it climbs to the entry's frame.
    while low <= frame < end and len(names) < most:
        found = process.find_code(peek(frame + 8) - 1)
        owner = None if found is None else found.owner()
        if found is not None and owner is not None:
            names.append(str(Frame(found.index, owner.function_name(found.index))))
        low, frame = frame + 1, peek(frame)
    return names


def current_trap(process: Process) -> Trap:
    """The trap that has just ended a guest on this thread."""
    peek = process.native.peek
    thread = process.thread()
    code = TrapCode(peek(thread + THREAD.at["trap_code"]))
    count = peek(thread + THREAD.at["frame_count"])
    frames = []
    for i in range(count):
        pc = peek(thread + THREAD.at["frames"] + 8 * i)
        # A return address may be the first byte of what follows the call; the byte before it is the call's own.
        found = process.find_code(pc if i == 0 else pc - 1)
        if found is not None:
            owner = found.owner()
            if owner is not None:
                frames.append(Frame(found.index, owner.function_name(found.index), owner.name))
    word, message = TRAPS[code]
    kind = Interrupted if code in STOPS else Trap
    return kind(word, message, tuple(frames))
