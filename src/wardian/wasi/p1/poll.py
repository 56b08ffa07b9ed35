"""Chapter "poll" of preview 1: ``poll_oneoff``, which sleeps, and waits for descriptors.

Subscriptions are read twice from the guest's memory, before and after waiting, so that a million of them need no
memory of the host; the second reading checks as much as the first.
"""

from __future__ import annotations

from typing import Final, final

from wardian.capability.clock import ClockKind
from wardian.capability.errno import CapabilityError, Errno
from wardian.capability.poll import HANGUP, READABLE, WRITABLE
from wardian.wasi.p1.context import Function, Handler, WasiContext
from wardian.wasi.p1.fds import Descriptor
from wardian.wasi.p1.memory import MASK, place
from wardian.wasi.p1.types import (
    EVENT,
    EVENT_HANGUP,
    SUBCLOCK_ABSTIME,
    SUBSCRIPTION_FD,
    U32,
    EventType,
    Preview,
    Struct,
)

_CLOCKS: Final = (ClockKind.REALTIME, ClockKind.MONOTONIC)
_BLOCK: Final = 0x1000


@final
class _Plan:
    """What there is to wait for: host descriptors and events, the nearest time, or nothing since one is ready."""

    __slots__ = ("interests", "ready", "timeout")

    def __init__(self) -> None:
        self.interests: dict[int, int] = {}
        self.timeout: int | None = None
        self.ready = False


def _remaining(ctx: WasiContext, clock: int, timeout: int, flags: int, start: int) -> int:
    """Nanoseconds until a subscription of a clock fires; 0 or less if it does now."""
    if clock not in _CLOCKS or flags & ~SUBCLOCK_ABSTIME:
        raise CapabilityError(Errno.INVALID)
    if flags:
        return timeout - ctx.clocks.now[clock]()
    return start + timeout - ctx.clocks.now[ClockKind.MONOTONIC]()


def _source(ctx: WasiContext, tag: int, fd: int) -> tuple[Descriptor, int | None, int]:
    """The descriptor subscribed to, the host's to wait for (``None``: always ready), and the event."""
    found = ctx.fds.get(fd)
    if tag == EventType.FD_READ:
        node = found.input or found.file
        if found.read is None or node is None:
            raise CapabilityError(Errno.BAD_FD)
        return found, node.poll_fd, READABLE
    if tag == EventType.FD_WRITE:
        sink = found.output or found.file
        if found.write is None or sink is None:
            raise CapabilityError(Errno.BAD_FD)
        return found, sink.poll_fd, WRITABLE
    raise CapabilityError(Errno.INVALID)


def _fd_at(subscriptions: memoryview, offset: int) -> int:
    value: int = U32.unpack_from(subscriptions, offset + SUBSCRIPTION_FD)[0]
    return value


def _plan(ctx: WasiContext, layout: Struct, subscriptions: memoryview, start: int) -> _Plan:
    plan = _Plan()
    for index, offset in enumerate(range(0, len(subscriptions), layout.size)):
        if index % _BLOCK == _BLOCK - 1:
            ctx.waiter.check()
        _, tag, clock, timeout, _, flags = layout.unpack_from(subscriptions, offset)
        if tag == EventType.CLOCK:
            left = max(0, _remaining(ctx, clock, timeout, flags, start))
            plan.timeout = left if plan.timeout is None else min(plan.timeout, left)
            continue
        _, host_fd, event = _source(ctx, tag, _fd_at(subscriptions, offset))
        if host_fd is None:
            plan.ready = True
        else:
            plan.interests[host_fd] = plan.interests.get(host_fd, 0) | event
    return plan


def _wait(ctx: WasiContext, plan: _Plan) -> dict[int, int]:
    """The host descriptors that are ready, once something is: one of them, or a clock."""
    if plan.ready or plan.timeout == 0:
        return ctx.waiter.wait(plan.interests.items(), 0)
    if plan.timeout is not None:
        ready = ctx.waiter.wait(plan.interests.items(), 0)
        if ready or ctx.clocks.skip(plan.timeout):
            return ready
    return ctx.waiter.wait(plan.interests.items(), plan.timeout)


def _event(ctx: WasiContext, userdata: int, tag: int, fd: int, ready: dict[int, int]) -> bytes | None:
    found, host_fd, event = _source(ctx, tag, fd)
    happened = event if host_fd is None else ready.get(host_fd, 0)
    if not happened & (event | HANGUP):
        return None
    flags = EVENT_HANGUP if happened & HANGUP else 0
    count = 1
    if tag == EventType.FD_READ:
        node = found.input or found.file
        count = node.available() if node is not None else 0
        if not count and host_fd is None:
            flags = EVENT_HANGUP
    return EVENT.pack(userdata, 0, tag, count, flags)


def _report(
    ctx: WasiContext, layout: Struct, subscriptions: memoryview, events: memoryview, start: int, ready: dict[int, int]
) -> int:
    """Write an event for each subscription that fired; returns how many."""
    fired = 0
    for index, offset in enumerate(range(0, len(subscriptions), layout.size)):
        if index % _BLOCK == _BLOCK - 1:
            ctx.waiter.check()
        userdata, tag, clock, timeout, _, flags = layout.unpack_from(subscriptions, offset)
        event: bytes | None = None
        if tag == EventType.CLOCK:
            if _remaining(ctx, clock, timeout, flags, start) <= 0:
                event = EVENT.pack(userdata, 0, tag, 0, 0)
        else:
            event = _event(ctx, userdata, tag, _fd_at(subscriptions, offset), ready)
        if event is not None:
            events[fired * EVENT.size : (fired + 1) * EVENT.size] = event
            fired += 1
    return fired


def poll_oneoff(ctx: WasiContext, preview: Preview, row: Function) -> Handler:
    layout = preview.subscription

    def call(subscriptions: int, events: int, count: int, result: int) -> None:
        count &= MASK
        if not count:
            raise CapabilityError(Errno.INVALID)
        view = ctx.memory.view()
        at = place(view, result, U32)
        source = _array(view, subscriptions, count, layout)
        target = _array(view, events, count, EVENT)
        start = ctx.clocks.now[ClockKind.MONOTONIC]()
        fired = 0
        while not fired:
            plan = _plan(ctx, layout, source, start)
            ready = _wait(ctx, plan)
            fired = _report(ctx, layout, source, target, start, ready)
        U32.pack_into(view, at, fired)

    return call


def _array(view: memoryview, pointer: int, count: int, struct: Struct) -> memoryview:
    """``count`` structs; their size can exceed 32 bits, so this is not :func:`span`."""
    pointer &= MASK
    end = pointer + count * struct.size
    if end > len(view):
        raise CapabilityError(Errno.FAULT)
    return view[pointer:end]
