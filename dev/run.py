"""What `make run` starts: Ctrl-C ends it quietly even while the supervisor is being loaded."""

import os
import sys


def main() -> int:
    """Load and run the supervisor; return its exit code."""
    try:
        # Loading takes a third of a second; only here a Ctrl-C in it can be answered.
        from dev.supervisor import Supervisor

        return Supervisor(os.environ).run()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
