"""WASI preview 1 (``wasi_snapshot_preview1``) and, from the same rows, preview 0 (``wasi_unstable``)."""
