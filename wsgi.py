"""The web application for gunicorn and the flask command."""

from app import create_app
from app.logs import set_up_logging

set_up_logging()
app = create_app()
