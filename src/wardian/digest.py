"""BLAKE2b without OpenSSL: ``hashlib`` loads a library of megabytes to offer a hash CPython has built in.

Imports nothing of the package.
"""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:  # a Python built without it; hashlib then brings another implementation
    from hashlib import blake2b

__all__ = ("blake2b",)
