"""The ground the other tests stand on: no network, no leftovers, requests on their own."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask, g
from redis import Redis
from sqlalchemy import func, select

from app.accounts.models import User
from app.db import db
from app.extensions import redis_client
from tests.client import Client
from tests.conftest import new_client
from tests.factories import make_user
from tests.network import NetworkRefused
from tests.services import Addresses


def test_other_machines_are_out_of_reach() -> None:
    with socket.socket() as one, pytest.raises(NetworkRefused):
        one.connect(("192.0.2.1", 80))
    with socket.socket() as one, pytest.raises(NetworkRefused):
        one.connect_ex(("192.0.2.1", 80))
    with pytest.raises(NetworkRefused):
        socket.getaddrinfo("example.org", 80)
    assert socket.getaddrinfo("localhost", 80)


@pytest.mark.parametrize("turn", [1, 2])
def test_a_test_finds_empty_tables_and_an_empty_redis(database: None, turn: int) -> None:
    assert db.session.scalar(select(func.count()).select_from(User)) == 0
    assert redis_client.client.dbsize() == 0
    make_user()
    db.session.commit()
    redis_client.client.set("left", turn)


def test_a_request_shares_neither_g_nor_session_with_the_test(app: Flask, client: Client) -> None:
    g.mark = "of the test"
    make_user()
    user = db.session.scalars(select(User)).one()
    assert client.get("/healthz").status_code == 200
    assert g.mark == "of the test"
    assert user in db.session
    assert db.session.scalar(select(func.count()).select_from(User)) == 1


def test_each_client_is_its_own_person(
    app: Flask, login_as: Callable[[User], Client], redis_db: Redis
) -> None:
    signed_in = login_as(make_user())
    assert signed_in.get("/profile").status_code == 200
    assert new_client(app).get("/profile").status_code == 302
    assert signed_in.post_form("/logout").status_code in (302, 303)
    assert signed_in.get("/profile").status_code == 302


def test_a_form_without_token_is_refused(login_as: Callable[[User], Client]) -> None:
    client = login_as(make_user())
    assert client.post("/logout").status_code == 400
    assert client.get("/profile").status_code == 200


def test_addresses_keep_what_stands_behind_the_question_mark(tmp_path: Path) -> None:
    by_socket = Addresses("postgresql+psycopg://app@/postgres?host=/tmp/x", "redis://h:1/0", "r")
    assert by_socket.database("one") == "postgresql+psycopg://app@/one?host=/tmp/x"
    by_port = Addresses("postgresql+psycopg://u:p@h:1/postgres", "redis://:p@h:1/0", "r")
    assert by_port.database("one") == "postgresql+psycopg://u:p@h:1/one"
    assert by_port.redis_database(3) == "redis://:p@h:1/3"
