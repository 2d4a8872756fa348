"""Run the stand-in: `python -m tests.doubles.stripe --webhook URL --secret whsec_x [--auto]`."""

import argparse
import sys
from pathlib import Path

from tests.doubles.stripe.fake import FakeStripe
from tests.doubles.stripe.server import StripeServer


def main() -> None:
    """Serve until a signal ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--webhook", help="where events are delivered to")
    parser.add_argument("--secret", action="append", help="a signing secret; may be given twice")
    parser.add_argument("--live", action="store_true", help="have the clock run")
    parser.add_argument("--auto", action="store_true", help="deliver events by itself")
    parser.add_argument("--unchecked", action="store_true", help="check no bodies")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ready", type=Path, help="a file that is told the address")
    options = parser.parse_args()
    fake = FakeStripe(seed=options.seed, live=options.live, validate=not options.unchecked)
    if options.webhook:
        fake.endpoint(options.webhook, options.secret or ["whsec_fake"])
    if options.auto:
        fake.pump.start()
    server = StripeServer(fake, options.port)
    if options.ready:
        options.ready.write_text(server.url)
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    try:
        server.serve_forever(0.1)
    except KeyboardInterrupt:
        fake.pump.stop()


if __name__ == "__main__":
    main()
