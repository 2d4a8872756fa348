"""`make run`: all of Botyard on one machine, started, watched and stopped together."""

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import FrameType
from typing import NoReturn

from dev import preflight, run_env
from dev.children import Child, Log
from dev.postgres import SERVING_USER, PostgresServer, ServerError
from dev.preflight import CannotStart
from dev.valkey import ValkeyServer

ROOT = Path(__file__).resolve().parent.parent
DATABASE = "botyard"
WEB_PATIENCE_S = 60
STOP_PATIENCE_S = 15
WATCH_EVERY_S = 0.5
ALARMS_AT_ONCE = 5
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PASSED_ON = (
    "MARKET_SOURCE",
    "MARKET_REPLAY",
    "MARKET_REPLAY_SPEED",
    "MARKET_SEED",
    "DEMO",
    "STRIPE_SECRET_KEY",
    "STRIPE_WEBHOOK_SECRETS",
    "STRIPE_APP_TAG",
    "STRIPE_API_BASE",
)
WORKERS = ("ticks", "jobs", "scheduler", "feed")


class Stopped(BaseException):
    """Somebody asked us to stop."""


class Supervisor:
    """The servers and processes of one checkout."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._began = time.monotonic()
        self._var = ROOT / "var"
        self._run_file = self._var / "run.env"
        self._made = self._var / "tables"
        self._servers: dict[str, PostgresServer | ValkeyServer] = {}
        self._children: list[Child] = []
        self._logs: dict[str, Log] = {}
        self._port = 0

    def run(self) -> int:
        """Start everything, watch it until a signal comes, and stop it; return the exit code."""
        _listen()
        try:
            preflight.check_python()
            preflight.make_folder(self._var)
            with preflight.take_lock(self._var / "supervisor.lock"):
                try:
                    self._start()
                    self._watch()
                finally:
                    self._stop()
        except (CannotStart, ServerError) as problem:
            print(f"Botyard cannot start: {problem}", file=sys.stderr, flush=True)
            return 1
        except Stopped:
            return 0

    def _start(self) -> None:
        preflight.check_space(self._var)
        self._port = preflight.read_port(self._environ)
        preflight.check_port(self._port)
        preflight.check_settings(self._environ)
        (self._var / "log").mkdir(exist_ok=True)
        self._check_replay()
        values = self._start_servers() | run_env.load_secrets(
            self._var / "secrets.env", self._environ
        )
        values |= self._settings()
        run_env.write_pairs(self._run_file, values, "Written by a running `make run`.")
        env = _child_environment(self._environ, values, self._port)
        # Only what migrates may be the owner of the tables, for as long as it lasts.
        owner_env, env = env, {**env, "DATABASE_OWNER_URL": ""}
        web = self._start_web(env) if self._has_tables() else None
        welcome = self._prepare(owner_env)
        self._wait_for_web(web or self._start_web(env))
        self._start_workers(env)
        self._say_hello(values["BASE_URL"], welcome)

    def _check_replay(self) -> None:
        if not self._environ.get("MARKET_REPLAY"):
            return
        self._say("Checking the recorded prices ...")
        command = [sys.executable, "-m", "dev.check_replay", self._environ["MARKET_REPLAY"]]
        # In a session of its own: Ctrl-C is ours to answer.
        result = subprocess.run(command, cwd=ROOT, check=False, start_new_session=True)
        if result.returncode != 0:
            raise CannotStart("MARKET_REPLAY cannot be played (see above).")

    def _start_servers(self) -> dict[str, str]:
        database_url = self._environ.get("DATABASE_URL", "")
        owner_url = self._environ.get("DATABASE_OWNER_URL", "") if database_url else ""
        redis_url = self._environ.get("REDIS_URL", "")
        if not database_url:
            self._say("Starting PostgreSQL ...")
            postgres = PostgresServer(self._var / "postgres")
            self._servers["PostgreSQL"] = postgres
            postgres.start(self._log("postgres").fileno())
            if postgres.is_new:
                self._made.unlink(missing_ok=True)
            postgres.ensure_database(DATABASE)
            database_url = postgres.url(DATABASE, SERVING_USER)
            owner_url = postgres.url(DATABASE)
        if not redis_url:
            self._say("Starting Valkey ...")
            valkey = ValkeyServer(self._var / "valkey")
            self._servers["Valkey"] = valkey
            valkey.start(self._log("valkey").fileno())
            redis_url = valkey.url()
        return {
            "DATABASE_URL": database_url,
            "DATABASE_OWNER_URL": owner_url,
            "REDIS_URL": redis_url,
        }

    def _settings(self) -> dict[str, str]:
        given = {name: self._environ[name] for name in PASSED_ON if self._environ.get(name)}
        base_url = self._environ.get("BASE_URL") or f"http://localhost:{self._port}"
        environment = self._environ.get("BOTYARD_ENV") or "development"
        if "MARKET_REPLAY" in given:
            # The command line may be used in another folder.
            given["MARKET_REPLAY"] = str(Path(given["MARKET_REPLAY"]).resolve())
        return {"BOTYARD_ENV": environment, "BASE_URL": base_url, **given}

    def _has_tables(self) -> bool:
        """Tell whether an earlier run has made the very tables that this code needs.

        Then the web server loads its code while the contents are brought up to date.
        """
        return self._made.exists() and self._made.read_text() == self._tables()

    def _tables(self) -> str:
        server = self._servers.get("PostgreSQL")
        place = server.data if isinstance(server, PostgresServer) else "DATABASE_URL"
        names = sorted(path.name for path in (ROOT / "migrations" / "versions").glob("*.py"))
        given = self._environ.get("DATABASE_URL", "")
        # Only its fingerprint: an address may hold a password.
        return f"{place} {SERVING_USER} {sha256(given.encode()).hexdigest()} {' '.join(names)}\n"

    def _prepare(self, env: Mapping[str, str]) -> str:
        self._say("Preparing the database ...")
        result = subprocess.run(
            [sys.executable, "-m", "dev.prepare"],
            cwd=ROOT,
            env=dict(env),
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            start_new_session=True,
        )
        if result.returncode != 0:
            raise CannotStart("the database could not be prepared (see above).")
        self._made.write_text(self._tables())
        return result.stdout.strip()

    def _start_web(self, env: Mapping[str, str]) -> Child:
        self._say("Starting the web server ...")
        command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
        return self._add_child("web", command, env)

    def _start_workers(self, env: Mapping[str, str]) -> None:
        self._say("Starting the workers, the scheduler and the price feed ...")
        for role in WORKERS:
            self._add_child(role, [sys.executable, "worker.py", role], env)

    def _add_child(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> Child:
        child = Child(name, command, cwd=ROOT, env=env, log=self._log(name))
        self._children.append(child)
        child.start()
        return child

    def _wait_for_web(self, web: Child) -> None:
        deadline = time.monotonic() + WEB_PATIENCE_S
        while not self._answers():
            if not web.is_running() or time.monotonic() > deadline:
                tail = "\n    ".join(web.log.tail(15))
                raise CannotStart(f"the web server did not come up:\n    {tail}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/healthz", timeout=5):
                return True
        except urllib.error.HTTPError:
            # It answers; what ails it stands on its pages.
            return True
        except OSError:
            return False

    def _say_hello(self, base_url: str, welcome: str) -> None:
        self._say("Ready.")
        lines = ["", f"  Botyard is at {base_url}", ""]
        lines += [f"  {line}" for line in welcome.splitlines()]
        # Without a code the set-up was done in an earlier run.
        if self._environ.get("DEMO") == "0" and welcome:
            lines += [f"  The set-up page waits at {base_url}/setup and asks for that code."]
        if not self._environ.get("SMTP_URL"):
            lines += [f"  Mails are not sent but caught: {base_url}/dev/mail"]
        lines += ["  Logs are in var/log, data in var. Ctrl-C stops everything.", ""]
        print("\n".join(lines), flush=True)

    def _watch(self) -> NoReturn:
        while True:
            for name, server in self._servers.items():
                if not server.is_running():
                    self._revive(name, server)
            for child in self._children:
                child.look_after(self._say)
            self._show_alarms()
            time.sleep(WATCH_EVERY_S)

    def _revive(self, name: str, server: PostgresServer | ValkeyServer) -> None:
        self._say(f"{name} ended; starting it again.")
        try:
            server.restart()
        except ServerError as error:
            self._say(f"{name} does not start: {error}")

    def _show_alarms(self) -> None:
        for name, log in self._logs.items():
            alarms = log.new_alarms()
            for line in alarms[:ALARMS_AT_ONCE]:
                self._say(f"{name}: {line}")
            if len(alarms) > ALARMS_AT_ONCE:
                self._say(f"{name}: {len(alarms) - ALARMS_AT_ONCE} more lines in {log.path}")

    def _stop(self) -> None:
        # A second Ctrl-C must not leave half of it running.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if self._children or self._servers:
            self._say("Stopping ...")
        for child in self._children:
            child.ask_to_stop()
        deadline = time.monotonic() + STOP_PATIENCE_S
        for child in self._children:
            child.wait_or_kill(deadline)
        for server in reversed(self._servers.values()):
            server.stop()
        if self._servers or self._children:
            self._run_file.unlink(missing_ok=True)
            self._say("Stopped. The data stay in var; `make run` goes on with them.")

    def _log(self, name: str) -> Log:
        if name not in self._logs:
            self._logs[name] = Log(self._var / "log" / f"{name}.log")
        return self._logs[name]

    def _say(self, text: str) -> None:
        # A closed terminal must not keep us from stopping everything.
        with suppress(OSError):
            print(f"[{time.monotonic() - self._began:6.1f} s] {text}", flush=True)


def _child_environment(
    environ: Mapping[str, str], values: Mapping[str, str], port: int
) -> dict[str, str]:
    env = {**environ, **values, "PORT": str(port), "PYTHONUNBUFFERED": "1"}
    # Without compiled files every process would compile thousands of modules at each start.
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return env


def _listen() -> None:
    def stop(number: int, frame: FrameType | None) -> NoReturn:
        for again in SIGNALS:
            signal.signal(again, signal.SIG_IGN)
        raise Stopped

    for number in SIGNALS:
        signal.signal(number, stop)
