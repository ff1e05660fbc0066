"""Orders that are their owners' alone: the order service checks tokens itself, with user-service's keys (AC-29)."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.shop_processes import ServiceProgram

ORDER: dict[str, Any] = {"productId": "CATALOG-0001", "quantity": 1, "unitPrice": 1500}


def test_a_users_orders_are_for_that_user_and_administrators(tmp_path: Path) -> None:
    def service(name: str, **settings: str) -> ServiceProgram:
        environment = {f"{name}_{key}".upper(): value for key, value in settings.items()}
        return stack.enter_context(ServiceProgram(name, tmp_path, environment))

    def signed_up(name: str) -> tuple[str, dict[str, str]]:
        person = {"email": f"{name}@naver.com", "name": name, "password": "password"}
        assert users.post("/users", json=person).status_code == 201
        answer = users.post("/login", json=person)
        return answer.json()["userId"], {"authorization": f"Bearer {answer.json()['token']}"}

    with ExitStack() as stack:
        users = service(
            "user",
            database_url=f"sqlite:///{tmp_path / 'users'}.db",
            data_folder=str(tmp_path / "keys"),
            admins=json.dumps(["admin@naver.com"]),
            order_urls=json.dumps(["http://127.0.0.1:1"]),
        )
        orders = service(
            "order",
            write_mode="private",
            database_url=f"sqlite:///{tmp_path / 'orders'}.db",
            owners_only="true",
            user_urls=json.dumps([users.address]),
        )
        mine, token = signed_up("roy")
        _, others = signed_up("perry")
        _, admins = signed_up("admin")
        path = f"/order-service/{mine}/orders"

        placed = orders.post(path, json=ORDER, headers=token)
        assert placed.status_code == 201
        for headers, status, code in (({}, 401, "UNAUTHORIZED"), (others, 403, "NOT_YOURS")):
            for answer in (
                orders.post(path, json=ORDER, headers=headers),
                orders.get(path, headers=headers),
                orders.get(placed.headers["location"], headers=headers),
            ):
                assert (answer.status_code, answer.json()["code"]) == (status, code)
        for headers in (token, admins):
            assert [order["orderId"] for order in orders.get(path, headers=headers).json()] == [
                placed.json()["orderId"]
            ]
        assert orders.get("/order-service/health-check").status_code == 200

        users.kill()
        assert orders.get(path, headers=token).status_code == 200, "keys that were fetched stay good"
        assert orders.get(path, headers={"authorization": "Bearer made-up"}).status_code == 401


def test_a_user_is_shown_with_orders_that_need_the_users_token(tmp_path: Path) -> None:
    with ExitStack() as stack:
        keys = {"USER_DATA_FOLDER": str(tmp_path / "keys"), "USER_DATABASE_URL": f"sqlite:///{tmp_path / 'users'}.db"}
        first = stack.enter_context(ServiceProgram("user", tmp_path, keys))
        environment = {
            "ORDER_WRITE_MODE": "private",
            "ORDER_DATABASE_URL": f"sqlite:///{tmp_path / 'orders'}.db",
            "ORDER_OWNERS_ONLY": "true",
            "ORDER_USER_URLS": json.dumps([first.address]),
        }
        orders = stack.enter_context(ServiceProgram("order", tmp_path, environment))
        asking = {**keys, "USER_ORDER_URLS": json.dumps([orders.address])}
        users = stack.enter_context(ServiceProgram("user", tmp_path, asking, 2))
        person = {"email": "roy@naver.com", "name": "roy", "password": "password"}
        user_id = users.post("/users", json=person).json()["userId"]
        headers = {"authorization": f"Bearer {users.post('/login', json=person).json()['token']}"}
        assert orders.post(f"/order-service/{user_id}/orders", json=ORDER, headers=headers).status_code == 201
        shown = users.get(f"/users/{user_id}", headers=headers).json()
        assert [order["productId"] for order in shown["orders"]] == ["CATALOG-0001"]
