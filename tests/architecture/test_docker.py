"""The container files keep the rules of a safe image, and name only what exists."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import worker
from app.config import load_config
from app.errors import ConfigError
from deploy import healthcheck

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {"migrate", "web", "worker-ticks", "worker-jobs", "scheduler", "feed"}
SECRETS = (
    "SECRET_KEY",
    "BOTYARD_MASTER_KEYS",
    "POSTGRES_PASSWORD",
    "POSTGRES_APP_PASSWORD",
    "REDIS_PASSWORD",
)


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile as (instruction, rest) with continued lines joined."""
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def rest_of(name: str) -> list[str]:
    return [rest for word, rest in instructions() if word == name]


def test_every_base_image_has_a_fixed_tag() -> None:
    images = [rest.split()[0] for rest in rest_of("FROM")]
    images += [service["image"] for service in SERVICES.values()]
    for image in images:
        _, _, tag = image.partition(":")
        assert re.search(r"\d", tag), f"{image} may be anything tomorrow"


def test_the_image_is_built_in_stages_and_leaves_the_tools_behind() -> None:
    stages = rest_of("FROM")
    assert len(stages) == 2
    last = DOCKERFILE.rpartition("FROM")[2]
    assert "pip install" not in last
    assert "--from=build" in last


def test_packages_are_installed_by_hash_only() -> None:
    runs = [rest for rest in rest_of("RUN") if "pip install" in rest]
    assert runs
    for rest in runs:
        assert rest.count("--require-hashes") == rest.count("pip install")


def test_the_process_is_nobody_special() -> None:
    assert rest_of("USER") == ["10001:10001"]


def test_nothing_is_fetched_from_an_address_or_copied_wholesale() -> None:
    assert rest_of("ADD") == []
    assert not re.search(r"\b(curl|wget)\b", DOCKERFILE)
    for rest in rest_of("COPY"):
        assert rest.split()[0] != ".", "a wholesale copy takes secrets along"


def test_the_image_has_a_health_check_and_an_exec_command() -> None:
    assert len(rest_of("HEALTHCHECK")) == 1
    assert rest_of("CMD") == ['["gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]']


def test_no_secret_stands_in_the_image() -> None:
    given = " ".join(rest_of("ENV") + rest_of("ARG"))
    assert not re.search(r"(?i)secret|password|token|_key", given)


def test_what_the_image_copies_exists_and_passes_the_ignore_file() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    for rest in rest_of("COPY"):
        words = rest.split()
        if words[0].startswith("--from"):
            continue
        for source in words[:-1]:
            assert (ROOT / source).exists(), source
            top = source.split("/")[0]
            assert any(line.startswith(f"!{top}") for line in ignored), source


def test_compose_has_every_part() -> None:
    assert set(SERVICES) == OURS | {"postgres", "redis", "nginx"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_restarts_and_is_watched(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"].startswith(("unless-stopped", "on-failure"))
    # The one that ends by itself is watched by those who wait for its success.
    check = service["healthcheck"]
    assert check == {"disable": True} if name == "migrate" else check["test"]


@pytest.mark.parametrize("name", sorted(OURS))
def test_our_services_have_no_right_they_do_not_need(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "ports" not in service


def test_only_the_proxy_is_open_to_the_outside() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["nginx"]


def test_every_secret_is_asked_for_and_none_is_written_down() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    example = (ROOT / ".env.example").read_text()
    for name in SECRETS:
        assert f"${{{name}:?" in text, f"{name} must fail clearly when it is missing"
        assert f"\n{name}=\n" in example
    assert all(SERVICES[name]["env_file"] == [".env"] for name in OURS)


def test_the_settings_of_the_containers_are_what_the_app_requires() -> None:
    environment = dict(SERVICES["web"]["environment"])
    environment["SECRET_KEY"] = "s" * 40
    environment["BOTYARD_MASTER_KEYS"] = "k1:" + "A" * 43 + "="
    environment["BASE_URL"] = "https://bots.example.org"
    config = load_config(environment)
    assert config.is_production
    assert config.trusted_proxies == 1
    for name in ("SECRET_KEY", "BOTYARD_MASTER_KEYS", "DATABASE_URL", "REDIS_URL", "BASE_URL"):
        with pytest.raises(ConfigError):
            load_config({**environment, name: ""})


def test_the_workers_run_roles_that_exist_and_all_of_them() -> None:
    commands = [service.get("command", []) for service in SERVICES.values()]
    roles = {command[2] for command in commands if command[:2] == ["python", "worker.py"]}
    assert roles == set(worker.ROLES)


@pytest.mark.parametrize("name", sorted(OURS - {"migrate"}))
def test_each_health_check_asks_about_its_own_process(name: str) -> None:
    test = SERVICES[name]["healthcheck"]["test"]
    role = name.removeprefix("worker-")
    assert test == ["CMD", "python", "deploy/healthcheck.py", role]
    command = SERVICES[name]["command"]
    assert role == "web" or command[-1] == role


def test_heart_beats_are_those_that_the_processes_write() -> None:
    from app import health, schedule

    assert healthcheck.HEARTBEATS["scheduler"] == schedule.HEARTBEAT
    assert healthcheck.HEARTBEATS["feed"] == health._heartbeat_key("feed")


def test_the_one_shot_service_runs_commands_that_exist() -> None:
    from app.cli.demo import demo, seed

    script = SERVICES["migrate"]["command"][2]
    assert script == "flask db upgrade && flask demo seed --no-content"
    assert demo.commands["seed"] is seed
    assert any("--no-content" in option.secondary_opts for option in seed.params)


def test_docker_reads_the_compose_file(tmp_path: Path) -> None:
    if shutil.which("docker") is None:
        pytest.skip("no docker here")
    version = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if version.returncode != 0:
        pytest.skip("docker has no compose plugin here")
    env = tmp_path / ".env"
    env.write_text("".join(f"{name}=x\n" for name in (*SECRETS, "BASE_URL")))
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    command = ["docker", "compose", "--project-directory", str(tmp_path), "config", "--quiet"]
    good = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert good.returncode == 0, good.stderr
    env.write_text("")
    bad = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert bad.returncode != 0
    assert "in .env" in bad.stderr


def test_only_the_migration_knows_the_owner_of_the_tables() -> None:
    for name in OURS:
        variables = SERVICES[name]["environment"]
        assert "://botyard_app:" in variables["DATABASE_URL"]
        assert ("DATABASE_OWNER_URL" in variables) == (name == "migrate"), name
    assert "POSTGRES_PASSWORD" not in str(SERVICES["web"]["environment"])
