"""`python -m viewpair` is `viewpair`."""

import sys

from viewpair.cli import main

if __name__ == "__main__":
    sys.exit(main())
