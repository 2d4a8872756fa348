# Read by the flask command in a checkout; a container sets its own.
FLASK_APP=wsgi.py
BOTYARD_ENV=development
