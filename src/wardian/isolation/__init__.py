"""Confining a process of our own: what a worker may still do, as data, and the system calls that see to it.

Invariant: nothing here knows WebAssembly; raw addresses are touched in :mod:`wardian.isolation.kernel` only.
"""
