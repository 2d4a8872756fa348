"""All that a process of the product loads; imported once by the process that forks the others."""

import gc
import pkgutil
from importlib import import_module

import app
from tests.compiled import keep_templates

LIBRARIES = (
    "ccxt",
    "flask.cli",
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.gthread",
    "rq.cron",
    "runpy",
)

# To look for garbage meanwhile would take a fifth of the time.
gc.disable()
for name in (*LIBRARIES, *(module.name for module in pkgutil.walk_packages(app.__path__, "app."))):
    import_module(name)
keep_templates()
# What is loaded stays: no child has to look at it when it clears away its garbage.
gc.collect()
gc.freeze()
gc.enable()
