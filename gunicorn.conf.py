"""How gunicorn serves the app: `gunicorn -c gunicorn.conf.py wsgi:app`."""

import gc
import os
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

port = os.environ.get("PORT") or "8000"
bind = os.environ.get("BIND") or f"127.0.0.1:{port}"
# Two processes before many threads: Python's lock makes threads in one process wait for each other.
workers = int(os.environ.get("WEB_WORKERS") or "2")
worker_class = "gthread"
# An open event stream holds a thread; the app leaves at least 16 for pages.
threads = int(os.environ.get("WEB_THREADS") or "64")
timeout = 30
graceful_timeout = 5
keepalive = 5
# Long-lived processes are renewed before slow leaks matter, not all at once.
max_requests = 20_000
max_requests_jitter = 2_000
# On disk a heart-beat file can block for seconds; memory never does.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108
# Whoever wants a log of requests (`--access-logfile -`) gets one without tokens.
accesslog = None
errorlog = "-"
loglevel = "warning"
# The app believes X-Forwarded-* only as far as TRUSTED_PROXIES says; gunicorn leaves them alone.
forwarded_allow_ips = ""


class logger_class(Logger):  # type: ignore[misc]
    """Writes no address that opens something."""

    def atoms(self, resp: Any, req: Any, environ: Any, request_time: Any) -> dict[str, Any]:
        """Return what a line of the log of requests is made of."""
        from app.logs import mask_path

        found = super().atoms(resp, req, environ, request_time)
        # Cookies and other headers stay out, whatever format somebody chooses.
        return {
            name: mask_path(value) if isinstance(value, str) else value
            for name, value in found.items()
            if not name.startswith("{")
        }


def post_worker_init(worker: Any) -> None:
    """Let the open event streams end when the worker is told to; look for garbage less often."""
    from app.pages import stream

    stream.end_when(lambda: not worker.alive)
    # What is loaded stays: to look through it for garbage would stop all requests for a while.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
