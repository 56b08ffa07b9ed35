"""Sockets: granted listeners and connections, what they can do, and that nothing else is one."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.wasi.guest import Guest
from wardian.grants import Capture, Grants
from wardian.wasi.p1.context import WasiContext

AGAIN, BADF, INVAL, INTR, NOTCAPABLE, NOTSOCK, PIPE, SPIPE = 6, 8, 28, 27, 76, 57, 64, 70
NONBLOCK = 4
PEEK, WAIT_ALL = 1, 2


def guest_with(*sockets: socket.socket, wake_fd: int | None = None) -> Guest:
    grants = Grants(stdout=Capture(), sockets=tuple(each.fileno() for each in sockets))
    return Guest(WasiContext.from_grants(grants, wake_fd))


@pytest.fixture
def pair() -> Iterator[tuple[Guest, socket.socket]]:
    """A guest with a connection as descriptor 3, and the other end."""
    before = len(os.listdir("/proc/self/fd"))
    left, right = socket.socketpair()
    with left, right:
        guest = guest_with(left)
        yield guest, right
        guest.context.close()
    assert len(os.listdir("/proc/self/fd")) == before


def receive(guest: Guest, fd: int, size: int, how: int = 0) -> tuple[int | None, bytes, int]:
    place, result, flags = guest.alloc(size), guest.alloc(4), guest.alloc(4)
    writes = [(place, size), (result, 4), (flags, 2)]
    error = guest.call("sock_recv", fd, *guest.iovs((place, size)), how, result, flags, writes=writes)
    return error, b"" if error else guest.get(place, guest.u32(result)), 0 if error else guest.u32(flags) & 0xFFFF


def send(guest: Guest, fd: int, *contents: bytes, how: int = 0) -> tuple[int | None, int]:
    result = guest.alloc(4)
    iovs = guest.iovs(*((guest.put(content), len(content)) for content in contents))
    return guest.call("sock_send", fd, *iovs, how, result, writes=[(result, 4)]), guest.u32(result)


def test_a_connection(pair: tuple[Guest, socket.socket]) -> None:
    guest, other = pair
    assert send(guest, 3, b"hel", b"lo") == (0, 5) and other.recv(9) == b"hello"
    assert guest.write(3, b"wor", b"ld") == (0, 5) and other.recv(9) == b"world"
    other.sendall(b"abcdef")
    assert receive(guest, 3, 4, PEEK) == (0, b"abcd", 0)
    assert receive(guest, 3, 4) == (0, b"abcd", 0)
    assert guest.read(3, 1, 5) == (0, b"ef")
    other.close()
    assert receive(guest, 3, 4) == (0, b"", 0)
    assert send(guest, 3, b"x")[0] == PIPE


def test_waiting_for_all(pair: tuple[Guest, socket.socket]) -> None:
    guest, other = pair
    thread = threading.Thread(target=lambda: [(time.sleep(0.01), other.sendall(b"abc")) for _ in range(3)])
    thread.start()
    assert receive(guest, 3, 9, WAIT_ALL) == (0, b"abcabcabc", 0)
    thread.join()


def test_what_a_socket_is(pair: tuple[Guest, socket.socket]) -> None:
    guest, _ = pair
    at = guest.alloc(24)
    assert guest.call("fd_fdstat_get", 3, at, writes=[(at, 24)]) == 0
    assert guest.get(at, 1) == b"\6" and guest.u64(at + 8) & (1 << 28 | 1 << 29) == 1 << 28 | 1 << 29
    assert guest.call("fd_prestat_get", 3, at) == BADF
    position = guest.alloc(8)
    assert guest.call("fd_seek", 3, 0, 0, position) == NOTCAPABLE
    assert guest.call("fd_fdstat_set_flags", 3, NONBLOCK) == 0
    assert receive(guest, 3, 4)[0] == AGAIN
    assert guest.call("fd_fdstat_set_rights", 3, 2, 2) == 0
    assert send(guest, 3, b"x")[0] == NOTCAPABLE and guest.call("sock_shutdown", 3, 3) == NOTCAPABLE
    assert guest.call("fd_close", 3) == 0 and guest.call("sock_shutdown", 3, 3) == BADF


def test_shutdown(pair: tuple[Guest, socket.socket]) -> None:
    guest, other = pair
    assert [guest.call("sock_shutdown", 3, how) for how in (0, 4, -1)] == [INVAL] * 3
    assert guest.call("sock_shutdown", 3, 2) == 0 and other.recv(1) == b""
    other.sendall(b"x")
    assert receive(guest, 3, 1) == (0, b"x", 0)
    assert guest.call("sock_shutdown", 3, 3) == 0 and receive(guest, 3, 1) == (0, b"", 0)


@pytest.mark.parametrize("flags", [0, NONBLOCK])
def test_a_listener(flags: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        guest = guest_with(server)
        at = guest.alloc(4)
        assert guest.call("fd_fdstat_set_flags", 3, NONBLOCK) == 0
        assert guest.call("sock_accept", 3, flags, at) == AGAIN
        assert guest.call("fd_fdstat_set_flags", 3, 0) == 0
        with socket.create_connection(server.getsockname()) as client:
            assert guest.call("sock_accept", 3, flags, at, writes=[(at, 4)]) == 0
            assert guest.u32(at) == 4
            assert not flags or receive(guest, 4, 1)[0] == AGAIN
            client.sendall(b"hi")
            time.sleep(0.01)
            assert receive(guest, 4, 9) == (0, b"hi", 0)
            assert send(guest, 4, b"ho") == (0, 2) and client.recv(9) == b"ho"
        assert guest.call("sock_accept", 3, 1, at) == INVAL and guest.call("sock_accept", 4, 0, at) == INVAL
        guest.context.close()
        assert server.fileno() >= 0 and server.getsockname()  # The embedder's own is still open.


def test_datagrams() -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right:
        guest = guest_with(left)
        right.send(b"long message")
        assert receive(guest, 3, 4) == (0, b"long", 1)  # The rest is gone, and the guest is told.
        at = guest.alloc(24)
        assert guest.call("fd_fdstat_get", 3, at, writes=[(at, 24)]) == 0 and guest.get(at, 1) == b"\5"
        guest.context.close()


def test_waiting_can_be_stopped() -> None:
    ours, theirs = os.pipe()
    with socket.create_server(("127.0.0.1", 0)) as server:
        guest = guest_with(server, wake_fd=ours)
        threading.Timer(0.05, os.write, (theirs, b"x")).start()
        started = time.monotonic()
        assert guest.call("sock_accept", 3, 0, guest.alloc(4)) == INTR
        assert time.monotonic() - started < 1
        guest.context.close()
    os.close(ours)
    os.close(theirs)


def test_descriptors_that_are_passed_along_do_not_stay_open(pair: tuple[Guest, socket.socket]) -> None:
    guest, other = pair
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        socket.send_fds(other, [b"x"], [0, 1])
        assert receive(guest, 3, 1) == (0, b"x", 0)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_no_socket(pair: tuple[Guest, socket.socket]) -> None:
    guest, _ = pair
    for fd, expected in ((0, NOTSOCK), (1, NOTSOCK), (99, BADF)):
        assert receive(guest, fd, 1)[0] == send(guest, fd, b"x")[0] == expected
        assert guest.call("sock_shutdown", fd, 1) == guest.call("sock_accept", fd, 0, guest.alloc(4)) == expected


def test_a_descriptor_that_is_no_socket_cannot_be_granted() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with open(os.devnull) as file, pytest.raises(OSError):
        WasiContext.from_grants(Grants(sockets=(file.fileno(),)))
    assert len(os.listdir("/proc/self/fd")) == before
