"""Host resources handed out as objects: files, clocks, randomness, streams, readiness.

This tower knows no WebAssembly. Invariant: whoever holds one of these objects can do what it offers and no more;
nothing here looks at the environment, the working directory or the process's arguments.
"""
