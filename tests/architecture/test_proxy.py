"""The proxy caches static files only, never a page, and believes no visitor's headers."""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.web import MAX_BODY_BYTES
from dev import processes

ROOT = Path(__file__).resolve().parents[2]
# What `make bench-webhooks` sends to the app.
FLOOD_A_SECOND = 600
CONFIG = (ROOT / "deploy" / "nginx.conf").read_text()
COMPOSE = (ROOT / "docker-compose.yml").read_text()


def location(name: str) -> str:
    found = re.search(rf"location {re.escape(name)} \{{\n(.*?)\n        \}}", CONFIG, re.DOTALL)
    assert found, name
    return found[1]


def test_only_static_files_are_cached() -> None:
    assert "proxy_cache static;" in location("/static/")
    for name in ("/", "/webhooks/", "= /events"):
        assert "proxy_cache off;" in location(name)
    assert CONFIG.count("proxy_cache static;") == 1


def test_no_cookie_enters_or_leaves_the_cache() -> None:
    assert 'proxy_set_header Cookie "";' in location("/static/")
    assert "proxy_hide_header Set-Cookie;" in location("/static/")


def test_streams_pass_unbuffered_and_longer_than_a_heart_beat() -> None:
    from app.pages.stream import LIFETIME_S

    stream = location("= /events")
    assert "proxy_buffering off;" in stream
    minutes = re.search(r"proxy_read_timeout (\d+)m;", stream)
    assert minutes
    assert int(minutes[1]) * 60 > LIFETIME_S


def test_callbacks_of_providers_may_come_in_floods() -> None:
    """A visitor's limit would turn most of them away: they come from a few addresses."""
    zone = re.search(r"limit_req zone=(\w+) burst=(\d+) nodelay;", location("/webhooks/"))
    assert zone
    rate = re.search(rf"zone={zone[1]}:1m rate=(\d+)r/s;", CONFIG)
    assert rate
    assert min(int(rate[1]), int(zone[2])) >= FLOOD_A_SECOND


def test_forwarded_headers_are_written_anew() -> None:
    assert "$proxy_add_x_forwarded_for" not in CONFIG
    assert CONFIG.count("X-Forwarded-For $remote_addr;") == 2


def test_proxy_and_compose_agree() -> None:
    assert "server web:8000" in CONFIG
    assert re.search(r'expose: \["8000"\]', COMPOSE)
    port = re.search(r"listen (\d+);", CONFIG)
    assert port
    assert f":{port[1]}" in COMPOSE
    assert f"127.0.0.1:{port[1]}/proxy-health" in COMPOSE


def test_the_proxy_takes_as_large_a_form_as_the_app() -> None:
    limit = re.search(r"client_max_body_size (\d+)m;", CONFIG)
    assert limit
    assert int(limit[1]) * 1024 * 1024 >= MAX_BODY_BYTES


class Backend(BaseHTTPRequestHandler):
    """Stands for the web service: counts, and tells what reached it."""

    requests: list[tuple[str, Message]]

    def do_GET(self) -> None:
        self.requests.append((self.path, self.headers))
        self.send_response(200)
        self.send_header("Set-Cookie", "session=secret")
        self.send_header("Cache-Control", "public, max-age=3600")
        self.end_headers()
        self.wfile.write(str(len(self.requests)).encode())

    def log_message(self, format: str, *args: object) -> None:
        return


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def backend() -> Iterator[ThreadingHTTPServer]:
    Backend.requests = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join(30)
    server.server_close()


def local_config(folder: Path, backend_port: int, port: int) -> str:
    """Return our file with only addresses and places changed, and names resolved at the start."""
    changed = CONFIG.replace("server web:8000 resolve", f"server 127.0.0.1:{backend_port}")
    changed = re.sub(r"\n\s+(resolver 127|zone web) [^\n]*", "", changed)
    changed = changed.replace("listen 8080;", f"listen 127.0.0.1:{port};")
    changed = changed.replace("/var/cache/nginx", str(folder)).replace("/run/", f"{folder}/")
    places = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    paths = "".join(f"    {name}_temp_path {folder}/{name};\n" for name in places)
    return changed.replace("http {\n", f"http {{\n{paths}", 1)


@pytest.fixture
def proxy(backend: ThreadingHTTPServer, tmp_path: Path) -> Iterator[str]:
    binary = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if binary is None:
        pytest.skip("no nginx here; the rules above are read from its file")
    port = free_port()
    config = tmp_path / "nginx.conf"
    config.write_text("daemon off;\n" + local_config(tmp_path, backend.server_port, port))
    if os.geteuid() == 0:
        config.write_text("user root;\n" + config.read_text())
    command = [binary, "-c", str(config), "-p", str(tmp_path), "-e", str(tmp_path / "error.log")]
    tested = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stderr
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        processes.stop(process, (signal.SIGTERM, signal.SIGKILL), 10)


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def fetch(address: str, **headers: str) -> tuple[str, Message]:
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.read().decode(), answer.headers


def test_a_static_file_is_fetched_once_for_everybody(proxy: str) -> None:
    first, one = fetch(f"{proxy}/static/css/botyard.css", Cookie="session=mine")
    second, two = fetch(f"{proxy}/static/css/botyard.css", Cookie="session=yours")
    assert (first, second) == ("1", "1")
    assert (one["X-Cache"], two["X-Cache"]) == ("MISS", "HIT")
    assert one["Set-Cookie"] is None
    path, seen = Backend.requests[0]
    assert path == "/static/css/botyard.css"
    assert seen["Cookie"] is None


def test_a_page_is_fetched_anew_each_time_even_if_it_claims_to_be_public(proxy: str) -> None:
    bodies = [fetch(f"{proxy}/dashboard", Cookie="session=mine")[0] for _ in range(2)]
    assert bodies == ["1", "2"]
    assert Backend.requests[1][1]["Cookie"] == "session=mine"


def test_a_visitor_cannot_choose_the_address_he_comes_from(proxy: str) -> None:
    fetch(f"{proxy}/", **{"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "evil.example"})
    seen = Backend.requests[0][1]
    assert seen["X-Forwarded-For"] == "127.0.0.1"
    assert seen["X-Forwarded-Host"] == proxy.removeprefix("http://")


def test_the_proxy_answers_its_own_health_check(proxy: str) -> None:
    with urllib.request.urlopen(f"{proxy}/proxy-health", timeout=5) as answer:
        assert answer.status == 204
    assert Backend.requests == []


def test_a_flood_from_one_address_is_refused_and_others_are_served(proxy: str) -> None:
    host, port = "127.0.0.1", int(proxy.rpartition(":")[2])

    def status(source: str) -> int:
        connection = http.client.HTTPConnection(host, port, 5, source_address=(source, 0))
        try:
            connection.request("GET", "/pricing")
            return connection.getresponse().status
        finally:
            connection.close()

    began = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = Counter(pool.map(status, ["127.0.0.1"] * 400))
    # What the limit lets through: the burst, and so many a second.
    most = 101 + 51 * (time.monotonic() - began)
    assert answers[200] <= most
    assert answers[429] >= 400 - most > 0
    assert status("127.0.0.2") == 200
    # Files of the cache are no burden.
    for _ in range(3):
        assert fetch(f"{proxy}/static/css/botyard.css")[1] is not None
