"""``python -m wardian``: the command line, for where the ``wardian`` script is not on the path."""

from __future__ import annotations

from wardian.cli.main import script

if __name__ == "__main__":
    script()
