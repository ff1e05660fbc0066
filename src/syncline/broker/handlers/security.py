"""Who clients are: SaslHandshake, SaslAuthenticate, and the SCRAM credentials of users."""

from __future__ import annotations

from collections import Counter
from typing import Any

from syncline.broker.credentials import FEWEST_ITERATIONS, MOST_ITERATIONS, NAMES, NUMBERS
from syncline.broker.errors import (
    DUPLICATE_RESOURCE,
    ILLEGAL_SASL_STATE,
    NONE,
    RESOURCE_NOT_FOUND,
    SASL_AUTHENTICATION_FAILED,
    UNACCEPTABLE_CREDENTIAL,
    UNSUPPORTED_SASL_MECHANISM,
    KafkaError,
)
from syncline.broker.sasl import AuthenticationFailed, ScramCredential
from syncline.broker.wire import Answer, Api, Context


def sasl_handshake(broker: Any, request: Any, context: Context) -> Answer:
    session = context.session
    if session is None:
        return {"error_code": ILLEGAL_SASL_STATE, "mechanisms": []}
    served = session.handshake(request.mechanism, raw=context.api_version == 0)
    return {
        "error_code": NONE if served else UNSUPPORTED_SASL_MECHANISM,
        "mechanisms": list(session.mechanisms),
    }


def sasl_authenticate(broker: Any, request: Any, context: Context) -> Answer:
    session = context.session
    if session is None:
        message = "SaslAuthenticate request received after successful authentication"
        return {"error_code": ILLEGAL_SASL_STATE, "error_message": message, "auth_bytes": b""}
    try:
        token, lifetime_ms = session.authenticate(bytes(request.auth_bytes))
    except AuthenticationFailed as exc:
        return {"error_code": SASL_AUTHENTICATION_FAILED, "error_message": str(exc), "auth_bytes": b""}
    return {"error_code": NONE, "error_message": None, "auth_bytes": token, "session_lifetime": lifetime_ms}


def describe_scram(broker: Any, request: Any, context: Context) -> Answer:
    names = [user.name for user in request.users or ()] or list(broker.credentials.users())
    often = Counter(names)
    return {
        "error_code": NONE,
        "error_message": None,
        "results": [_described(broker, name, twice=count > 1) for name, count in often.items()],
    }


def _described(broker: Any, user: str, *, twice: bool) -> dict[str, Any]:
    known = broker.credentials.of(user)
    code, message = NONE, None
    if twice:
        code, message = DUPLICATE_RESOURCE, f"Cannot describe SCRAM credentials for the same user twice: {user}"
    elif not known:
        code = RESOURCE_NOT_FOUND
        message = f"Attempt to describe a user credential that does not exist: {user}"
    return {
        "user": user,
        "error_code": code,
        "error_message": message,
        "credential_infos": [
            {"mechanism": NUMBERS[name], "iterations": credential.iterations}
            for name, credential in known.items()
            if not code
        ],
    }


def alter_scram(broker: Any, request: Any, context: Context) -> Answer:
    """Each user is changed wholly or not at all."""
    often = Counter((change.name, change.mechanism) for change in (*request.deletions, *request.upsertions))
    refused: dict[str, KafkaError] = {}
    for checks, changes in ((_check_deletion, request.deletions), (_check_upsertion, request.upsertions)):
        for change in changes:
            try:
                if often[change.name, change.mechanism] > 1:
                    message = "A user credential cannot be altered twice in the same request"
                    raise KafkaError(DUPLICATE_RESOURCE, message)
                checks(broker, change)
            except KafkaError as exc:
                refused.setdefault(change.name, exc)
    for change in request.deletions:
        if change.name not in refused:
            broker.credentials.delete(NAMES[change.mechanism], change.name)
    for change in request.upsertions:
        if change.name not in refused:
            mechanism = NAMES[change.mechanism]
            credential = ScramCredential.of(
                mechanism, bytes(change.salt), change.iterations, bytes(change.salted_password)
            )
            broker.credentials.put(mechanism, change.name, credential)
    return {
        "results": [
            {
                "user": name,
                "error_code": refused[name].code if name in refused else NONE,
                "error_message": refused[name].message if name in refused else None,
            }
            for name in dict.fromkeys(name for name, _ in often)
        ]
    }


def _check_name(change: Any) -> None:
    if not change.name:
        raise KafkaError(UNACCEPTABLE_CREDENTIAL, "Username must not be empty")
    if change.mechanism not in NAMES:
        raise KafkaError(UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism")


def _check_deletion(broker: Any, change: Any) -> None:
    _check_name(change)
    if broker.credentials.get(NAMES[change.mechanism], change.name) is None:
        raise KafkaError(RESOURCE_NOT_FOUND, "Attempt to delete a user credential that does not exist")


def _check_upsertion(broker: Any, change: Any) -> None:
    _check_name(change)
    if change.iterations < FEWEST_ITERATIONS:
        raise KafkaError(UNACCEPTABLE_CREDENTIAL, "Too few iterations")
    if change.iterations > MOST_ITERATIONS:
        raise KafkaError(UNACCEPTABLE_CREDENTIAL, "Too many iterations")


def describe_client_quotas(broker: Any, request: Any, context: Context) -> Answer:
    """There are none; `kafka-configs --describe` asks before it shows a user's credentials."""
    return {"error_code": NONE, "error_message": None, "entries": []}


APIS = (
    Api(17, 0, 1, sasl_handshake),
    Api(36, 0, 2, sasl_authenticate),
    Api(48, 0, 1, describe_client_quotas),
    Api(50, 0, 0, describe_scram),
    Api(51, 0, 0, alter_scram),
)
