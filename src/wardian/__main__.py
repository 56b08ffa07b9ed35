"""``python -m wardian``: the command line, for where the ``wardian`` script is not on the path."""

from __future__ import annotations

import sys

from wardian.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
