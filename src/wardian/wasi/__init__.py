"""WASI: the system interface of a guest, translated to the objects of :mod:`wardian.capability`."""
