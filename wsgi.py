"""The web application for gunicorn and the flask command."""

import logging

from app import create_app
from app.errors import ConfigError
from app.logs import set_up_logging

# Gunicorn starts a worker that ended with this code not again and again.
CANNOT_BOOT = 3

set_up_logging()
try:
    app = create_app()
except ConfigError as error:
    logging.getLogger("wsgi").critical("Botyard can't start. Wrong setting: %s", error)
    raise SystemExit(CANNOT_BOOT) from None
