"""Streams, and waiting that can be stopped."""

from __future__ import annotations

import os
import pty
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wardian.capability.errno import CapabilityError, Errno, reason
from wardian.capability.poll import HANGUP, READABLE, WRITABLE, Waiter
from wardian.capability.stream import (
    BytesInput,
    CallInput,
    CallOutput,
    CaptureOutput,
    HostInput,
    HostOutput,
    NullInput,
    NullOutput,
)

FREE = Waiter()


class Pipe:
    """A pipe, and a second one to wake with."""

    def __init__(self) -> None:
        self.read, self.write = os.pipe()
        self.wake_read, self.wake_write = os.pipe()
        self.waiter = Waiter(self.wake_read)

    def wake(self) -> None:
        os.write(self.wake_write, b"x")

    def close(self) -> None:
        for fd in (self.read, self.write, self.wake_read, self.wake_write):
            try:
                os.close(fd)
            except OSError:
                pass


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    made.close()


def interrupted(call: Callable[[], object]) -> bool:
    try:
        call()
    except CapabilityError as error:
        return error.reason is Errno.INTERRUPTED
    return False


def later(call: Callable[[], object], delay: float = 0.05) -> threading.Timer:
    timer = threading.Timer(delay, call)
    timer.start()
    return timer


def buffers(*sizes: int) -> list[memoryview]:
    return [memoryview(bytearray(size)) for size in sizes]


def test_null() -> None:
    assert NullInput().read(buffers(5), FREE) == 0 and NullInput().available() == 0
    assert NullOutput().write([memoryview(b"abc"), memoryview(b"d")], FREE) == 4


def test_bytes() -> None:
    stream = BytesInput(b"hello world")
    one, two, three = buffers(5, 1, 100)
    assert stream.available() == 11
    assert stream.read([one, two], FREE) == 6 and (bytes(one), bytes(two)) == (b"hello", b" ")
    assert stream.read([three], FREE) == 5 and bytes(three[:5]) == b"world"
    assert stream.read([three], FREE) == 0 and stream.available() == 0


def test_capture() -> None:
    stream = CaptureOutput(5)
    assert stream.write([memoryview(b"abc"), memoryview(b"")], FREE) == 3
    assert (stream.value, stream.truncated) == (b"abc", False)
    assert stream.write([memoryview(b"de")], FREE) == 2 and not stream.truncated
    assert stream.write([memoryview(b"fgh"), memoryview(b"i")], FREE) == 4
    assert (stream.value, stream.truncated) == (b"abcde", True)


def test_host_streams(pipe: Pipe) -> None:
    source, sink = HostInput(pipe.read), HostOutput(pipe.write)
    assert (source.poll_fd, sink.poll_fd, source.terminal) == (pipe.read, pipe.write, False)
    assert sink.write([memoryview(b"abc"), memoryview(b"de")], pipe.waiter) == 5
    assert source.available() == 5
    one, two = buffers(2, 10)
    assert source.read([one, two], pipe.waiter) == 5 and bytes(two[:3]) == b"cde"
    os.close(pipe.write)
    assert source.read([one], pipe.waiter) == 0


def test_a_closed_reader_is_a_broken_pipe(pipe: Pipe) -> None:
    os.close(pipe.read)
    with pytest.raises(OSError) as caught:
        HostOutput(pipe.write).write([memoryview(b"x")], pipe.waiter)
    assert reason(caught.value) is Errno.PIPE


def test_a_read_that_waits_can_be_stopped(pipe: Pipe) -> None:
    later(pipe.wake)
    started = time.monotonic()
    assert interrupted(lambda: HostInput(pipe.read).read(buffers(1), pipe.waiter))
    assert time.monotonic() - started < 1
    assert interrupted(lambda: HostInput(pipe.read).read(buffers(1), pipe.waiter))  # And stays so.


def test_a_write_that_waits_can_be_stopped(pipe: Pipe) -> None:
    later(pipe.wake)
    sink, content = HostOutput(pipe.write), memoryview(bytes(1 << 20))
    written = sink.write([content], pipe.waiter)
    assert 0 < written < len(content)  # What had left is told first.
    assert interrupted(lambda: sink.write([content[written:]], pipe.waiter))


def test_a_large_write_arrives_whole(pipe: Pipe) -> None:
    content = os.urandom(1 << 20)
    received = bytearray()

    def drain() -> None:
        while chunk := os.read(pipe.read, 65536):
            received.extend(chunk)

    thread = threading.Thread(target=drain)
    thread.start()
    assert HostOutput(pipe.write).write([memoryview(content)], pipe.waiter) == len(content)
    os.close(pipe.write)
    thread.join()
    assert received == content


def test_non_blocking_descriptors_are_waited_for(pipe: Pipe) -> None:
    os.set_blocking(pipe.read, False)
    later(lambda: os.write(pipe.write, b"x"))
    assert HostInput(pipe.read).read(buffers(4), FREE) == 1
    os.set_blocking(pipe.write, False)
    later(lambda: os.read(pipe.read, 1 << 20))
    assert HostOutput(pipe.write).write([memoryview(bytes(70000))], FREE) == 70000


def test_sockets() -> None:
    left, right = socket.socketpair()
    with left, right:
        assert HostOutput(left.fileno()).write([memoryview(b"abc")], FREE) == 3
        assert HostInput(right.fileno()).read(buffers(10), FREE) == 3


def test_terminals() -> None:
    master, slave = pty.openpty()
    assert HostInput(slave).terminal and HostOutput(slave).terminal
    os.close(master)
    os.close(slave)


def test_regular_files_never_wait(tmp_path: Path) -> None:
    with open(tmp_path / "f", "wb+", buffering=0) as file:
        sink = HostOutput(file.fileno())
        assert sink.poll_fd is None and sink.write([memoryview(b"abc")], FREE) == 3
        file.seek(0)
        assert HostInput(file.fileno()).read(buffers(5), FREE) == 3


def test_a_closed_descriptor_is_refused_at_once() -> None:
    with pytest.raises(OSError):
        HostInput(10**6)


def test_waiting_for_time() -> None:
    for timeout in (0, 300_000, 2_500_000, 20_000_000):
        started = time.monotonic_ns()
        assert FREE.wait((), timeout) == {}
        assert timeout <= time.monotonic_ns() - started < timeout + 50_000_000


def test_waiting_for_ever_can_be_stopped(pipe: Pipe) -> None:
    for timeout in (None, (1 << 64) - 1):
        pipe2 = Pipe()
        later(pipe2.wake)
        assert interrupted(lambda pipe2=pipe2, timeout=timeout: pipe2.waiter.wait((), timeout))
        pipe2.close()
    pipe.waiter.check()
    pipe.wake()
    assert interrupted(pipe.waiter.check)


def test_readiness(pipe: Pipe) -> None:
    interests = ((pipe.read, READABLE), (pipe.write, WRITABLE))
    assert pipe.waiter.wait(interests, None) == {pipe.write: WRITABLE}
    os.write(pipe.write, b"x")
    assert set(pipe.waiter.wait(interests, 0)) == {pipe.read, pipe.write}
    os.close(pipe.read)
    assert pipe.waiter.wait(((pipe.write, WRITABLE),), 0)[pipe.write] & HANGUP


def test_functions_in_place_of_streams() -> None:
    asked: list[int] = []
    pieces = iter([b"abcdef", b"g", b""])

    def give(size: int) -> bytes:
        asked.append(size)
        return next(pieces)

    source = CallInput(give)
    one, two = memoryview(bytearray(2)), memoryview(bytearray(2))
    assert source.read([one, two], FREE) == 4 and bytes(one) + bytes(two) == b"abcd"
    assert source.available() == 2
    assert source.read([one, two], FREE) == 2 and bytes(one) == b"ef"  # What was too much comes next.
    assert source.read([one, two], FREE) == 1 and source.read([one], FREE) == 0
    assert asked == [4, 4, 2]
    taken: list[bytes] = []
    sink = CallOutput(taken.append)
    assert sink.write([memoryview(b"ab"), memoryview(b"c")], FREE) == 3
    assert sink.write([memoryview(bytes(1 << 20)), memoryview(b"c")], FREE) == 1 << 20
    assert sink.write([memoryview(b"x"), memoryview(bytes(1 << 21))], FREE) == 1 << 20
    assert taken[0] == b"abc" and [len(piece) for piece in taken] == [3, 1 << 20, 1 << 20]
