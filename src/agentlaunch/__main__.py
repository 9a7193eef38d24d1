"""`python -m agentlaunch`, the same door as the `agentlaunch` script."""

import sys

from agentlaunch.cli import main

if __name__ == "__main__":
    sys.exit(main())
