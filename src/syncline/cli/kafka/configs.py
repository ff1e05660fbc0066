"""`kafka-configs`: show and change settings of topics, brokers and groups."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from syncline.cli.kafka.flags import BOOTSTRAP, COMMAND_CONFIG, Flag, Given, Tool, UsageError, properties_of, reason
from syncline.errors import ConnectError

if TYPE_CHECKING:
    from syncline.app import KafkaAdmin, Setting

TOOL: Final = Tool(
    "kafka-configs",
    "Show and change settings of topics, brokers and groups.",
    (
        BOOTSTRAP,
        COMMAND_CONFIG,
        Flag("add-config", "Settings, name=value with commas between; [a,b] for a value with commas.", "settings"),
        Flag("add-config-file", "A properties file with settings to add.", "file"),
        Flag("all", "Describe all settings, defaults too."),
        Flag("alter", "Change settings."),
        Flag("broker", "A broker: short for --entity-type brokers --entity-name.", "number"),
        Flag("broker-defaults", "The defaults of all brokers."),
        Flag("delete-config", "Settings to return to their defaults, with commas between.", "names"),
        Flag("describe", "Show settings."),
        Flag("entity-default", "The defaults of all entities of the type."),
        Flag("entity-name", "The topic, broker or group; without it all of them.", "name"),
        Flag("entity-type", "topics, brokers or groups.", "type"),
        Flag("force", "Accepted: this tool never asks."),
        Flag("group", "A group: short for --entity-type groups --entity-name.", "group"),
        Flag("topic", "A topic: short for --entity-type topics --entity-name.", "topic"),
    ),
)
KAFKAS_TYPES: Final = ("topics", "clients", "users", "brokers", "ips", "client-metrics", "groups", "broker-loggers")
TYPES: Final = {"topics": "topic", "brokers": "broker", "groups": "group"}
"""Entity types that can be had here, and what one of each is called."""
DEFAULT: Final = "DEFAULT_CONFIG"
OF_THE_ENTITY: Final = {
    "topics": {"DYNAMIC_TOPIC_CONFIG"},
    "brokers": {"DYNAMIC_BROKER_CONFIG"},
    "groups": {"GROUP_CONFIG"},
}
"""Sources of settings that were made for the entity itself."""


class Refused(Exception):
    """The settings given cannot be taken."""


def run(arguments: list[str]) -> int:
    """Do what the arguments say; the exit status."""
    given = TOOL.read(arguments)
    action = given.action("describe", "alter", text="Command must include exactly one action: --describe, --alter")
    kind, name = entity(given)
    if action == "alter" and not given.has("add-config", "add-config-file", "delete-config"):
        raise UsageError(
            "At least one of --add-config, --add-config-file, or --delete-config must be specified with --alter"
        )
    if not given.has("bootstrap-server"):
        raise UsageError("Either --bootstrap-server or --bootstrap-controller must be specified.")
    properties = given.client("command-config")
    from syncline.app import kafka_tool_admin

    admin = kafka_tool_admin(properties)
    try:
        if action == "describe":
            describe(admin, kind, name, given)
        else:
            alter(admin, kind, name, given)
    except Refused as exc:
        print(exc, file=sys.stderr)
        return 1
    except ConnectError as exc:
        print(f"Error while executing config command with args '{' '.join(arguments)}'", file=sys.stderr)
        print(f"{exc.java_class}: {reason(exc)}", file=sys.stderr)
        return 1
    return 0


def entity(given: Given) -> tuple[str, str | None]:
    """Type and name of what is meant; the name is None for all, empty for the defaults."""
    short = [(kind, one) for kind, one in TYPES.items() if given.has(one)]
    if given.has("broker-defaults"):
        return "brokers", ""
    if short:
        kind, one = short[0]
        return kind, given.one(one)
    given_kind = given.one("entity-type")
    if given_kind is None:
        raise UsageError("At least one entity type must be specified")
    if given_kind not in KAFKAS_TYPES:
        raise UsageError(
            f"Invalid entity type {given_kind}, the entity type must be one of {', '.join(KAFKAS_TYPES)} with a "
            "--bootstrap-server or --bootstrap-controller argument"
        )
    if given_kind not in TYPES:
        raise UsageError(f"settings of {given_kind} cannot be had with this tool; use Apache Kafka's")
    name = "" if given.has("entity-default") else given.one("entity-name")
    if name is None and given.has("alter"):
        raise UsageError(f"an entity name must be specified with --alter of {given_kind}")
    return given_kind, name


# -- describe -----------------------------------------------------------------------------------------------


def describe(admin: KafkaAdmin, kind: str, name: str | None, given: Given) -> None:
    if kind == "topics" and name and admin.topic(name) is None:
        print(f"The topic '{name}' doesn't exist and doesn't have dynamic config.")
        return
    for each in [name] if name is not None else names_of(admin, kind):
        if each == "":
            print(f"Default configs for {kind} in the cluster are:")
            show(defaults(admin, kind))
            continue
        found = settings(admin, kind, each)
        if given.has("all"):
            print(f"All configs for {TYPES[kind]} {each} are:")
            show(found)
        else:
            print(f"Dynamic configs for {TYPES[kind]} {each} are:")
            show(setting for setting in found if setting.source in OF_THE_ENTITY[kind])


def names_of(admin: KafkaAdmin, kind: str) -> list[str]:
    match kind:
        case "topics":
            return [topic.name for topic in admin.topics()]
        case "brokers":
            return [*map(str, admin.brokers()), ""]
        case _:
            return sorted(admin.group_states())


def settings(admin: KafkaAdmin, kind: str, name: str) -> list[Setting]:
    from syncline.app import Resource

    return admin.settings(Resource(TYPES[kind]), name)


def defaults(admin: KafkaAdmin, kind: str) -> list[Setting]:
    """What is set for all brokers at once, seen from one of them."""
    brokers = admin.brokers() if kind == "brokers" else []
    found = []
    for setting in settings(admin, kind, str(brokers[0])) if brokers else []:
        shared = tuple(each for each in setting.synonyms if each[0] == "DYNAMIC_DEFAULT_BROKER_CONFIG")
        if shared:
            found.append(replace(setting, value=shared[0][2], synonyms=shared))
    return found


def show(found: Iterable[Setting]) -> None:
    for setting in found:
        synonyms = ", ".join(f"{source}:{name}={value}" for source, name, value in setting.synonyms)
        value = "null" if setting.value is None else setting.value
        sensitive = str(setting.sensitive).lower()
        print(f"  {setting.name}={value} sensitive={sensitive} synonyms={{{synonyms}}}")


# -- alter --------------------------------------------------------------------------------------------------


def alter(admin: KafkaAdmin, kind: str, name: str | None, given: Given) -> None:
    from syncline.app import Resource

    added: dict[str, str] = {}
    for file in given.all("add-config-file"):
        added |= properties_of(file)
    for text in given.all("add-config"):
        added |= parse(text)
    removed = [key.strip() for text in given.all("delete-config") for key in text.split(",") if key.strip()]
    if kind == "topics" and admin.topic(name or "") is None:
        raise ConnectError(f"The topic '{name}' does not exist.")
    if removed and name:
        known = {setting.name for setting in settings(admin, kind, name) if setting.source in OF_THE_ENTITY[kind]}
        unknown = [key for key in removed if key not in known]
        if unknown:
            raise Refused(f"Invalid config(s): {','.join(unknown)}")
    changes: dict[str, str | None] = {**added, **dict.fromkeys(removed)}
    admin.alter_settings(Resource(TYPES[kind]), name or "", changes)
    if name == "":
        print(f"Completed updating default config for {kind} in the cluster.")
    else:
        print(f"Completed updating config for {TYPES[kind]} {name}.")


def parse(text: str) -> dict[str, str]:
    """`k1=v1,k2=[a,b],k3=v3`; UsageError when it is not of that form."""
    found: dict[str, str] = {}
    rest = text.strip()
    while rest:
        key, equals, rest = rest.partition("=")
        if not equals or not key.strip():
            raise UsageError(f'Invalid entity config: {text!r}: settings to be added must be in the format "key=val"')
        if rest.startswith("["):
            value, bracket, rest = rest[1:].partition("]")
            if not bracket or (rest and not rest.startswith(",")):
                raise UsageError(f"Invalid entity config: a closing bracket is missing in {text!r}")
            rest = rest[1:]
        else:
            value, _, rest = rest.partition(",")
        found[key.strip()] = value.strip()
    return found
