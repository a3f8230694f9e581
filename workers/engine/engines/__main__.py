"""`python -m workers.engine.engines FD`: the computing process; see `child`."""

import sys

from workers.engine.engines.child import main

if __name__ == "__main__":
    main(int(sys.argv[1]))
