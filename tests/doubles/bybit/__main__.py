"""Run the stand-in: `python -m tests.doubles.bybit --journal FILE [--port N] [--seed N]`."""

import argparse
import sys
from pathlib import Path

from tests.doubles.bybit.server import DoubleServer
from tests.doubles.bybit.venue import Venue


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ready", type=Path, help="a file that is told the address")
    options = parser.parse_args()
    venue = Venue(journal=options.journal, seed=options.seed)
    server = DoubleServer(venue, options.port, seed=options.seed + len(venue.customers))
    if options.ready:
        options.ready.write_text(server.url)
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()
