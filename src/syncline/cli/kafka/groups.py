"""`kafka-consumer-groups`: look at consumer groups, move and delete their offsets, delete them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from syncline.cli.kafka.flags import BOOTSTRAP, COMMAND_CONFIG, Flag, Given, Tool, UsageError, reason
from syncline.errors import ConnectError
from syncline.ids import TopicPartition

if TYPE_CHECKING:
    from syncline.app import GroupDetails, KafkaAdmin, MemberDetails

TOOL: Final = Tool(
    "kafka-consumer-groups",
    "List, describe and delete consumer groups, move their offsets.",
    (
        BOOTSTRAP,
        COMMAND_CONFIG,
        Flag("all-groups", "All groups."),
        Flag("all-topics", "All topics that the group has offsets of."),
        Flag("by-duration", "Reset to so long ago, such as PT1H30M.", "duration"),
        Flag("delete", "Delete groups with their offsets."),
        Flag("delete-offsets", "Delete a group's offsets of topics."),
        Flag("describe", "Show offsets and lag of groups."),
        Flag("dry-run", "Only show what a reset would do."),
        Flag("execute", "Do the reset."),
        Flag("export", "Print the new offsets as CSV."),
        Flag("from-file", "Reset to the offsets of a CSV file: topic,partition,offset.", "file"),
        Flag("group", "A group; may be repeated.", "group"),
        Flag("list", "List all groups."),
        Flag("members", "Describe the members."),
        Flag("offsets", "Describe the offsets; so it does without any of these."),
        Flag("reset-offsets", "Move a group's offsets; the group must have no members."),
        Flag("shift-by", "Reset by so many records, back when negative.", "number"),
        Flag(
            "state", "Describe the state; with --list, show states, or only groups in some.", " states", optional=True
        ),
        Flag("timeout", "Milliseconds to wait for the cluster.", "ms"),
        Flag("to-current", "Reset to where the group is."),
        Flag("to-datetime", "Reset to a moment, YYYY-MM-DDTHH:mm:ss.sss.", "datetime"),
        Flag("to-earliest", "Reset to the oldest record."),
        Flag("to-latest", "Reset to the end."),
        Flag("to-offset", "Reset to an offset.", "offset"),
        Flag("topic", "A topic, or topic:0,1 for single partitions; may be repeated.", "topic"),
        Flag("verbose", "Describe with more columns."),
    ),
)
ACTIONS: Final = ("list", "describe", "delete", "reset-offsets", "delete-offsets")
SCENARIOS: Final = (
    *("to-offset", "to-current", "to-datetime", "from-file", "by-duration", "to-earliest", "to-latest", "shift-by"),
)
STATES: Final = (*("Stable", "Assigning", "Reconciling", "PreparingRebalance", "Empty", "CompletingRebalance", "Dead"),)
NOT_EXECUTED: Final = (
    "WARN: No action will be performed as the --execute option is missing. In a future major release, the default "
    "behavior of this command will be to prompt the user before executing the reset rather than doing a dry run. You "
    "should add the --dry-run option explicitly if you are scripting this command and want to keep the current default "
    "behavior without prompting."
)
NO_GROUP: Final = "org.apache.kafka.common.errors.GroupIdNotFoundException"

Offsets = dict[TopicPartition, int]


class GroupError(Exception):
    """The action cannot be done; shown as Kafka shows it."""


def run(arguments: list[str]) -> int:
    """Do what the arguments say; the exit status, which is 0 also when the cluster refuses, as in Kafka."""
    given = TOOL.read(arguments)
    given.required("bootstrap-server")
    if given.has("describe", "delete") and not given.has("group", "all-groups"):
        name = "describe" if given.has("describe") else "delete"
        raise UsageError(f"Option [{name}] takes one of these options: [all-groups], [group]")
    action = given.action(
        *ACTIONS, text=f"Command must include exactly one action: {', '.join(f'--{name}' for name in ACTIONS)}"
    )
    if action == "reset-offsets":
        check_reset(given)
    if action == "delete-offsets":
        given.required("group", "topic")
    states = wanted_states(given)
    properties = given.client("command-config")
    if (timeout := given.number("timeout", 1)) is not None:
        properties["default.api.timeout.ms"] = str(timeout)
    from syncline.app import kafka_tool_admin

    doing: dict[str, Callable[[KafkaAdmin, Given], None]] = {
        "list": lambda admin, given: list_groups(admin, given, states),
        "describe": describe,
        "delete": delete,
        "reset-offsets": reset,
        "delete-offsets": delete_offsets,
    }
    try:
        doing[action](kafka_tool_admin(properties), given)
    except (GroupError, ConnectError) as exc:
        print(f"\nError: Executing consumer group command failed due to {reason(exc)}")
    return 0


def wanted_states(given: Given) -> set[str]:
    """The states that `--list --state A,B` asks for; empty for all."""
    text = given.one("state")
    if not text or not given.has("list"):
        return set()
    known = {state.lower(): state for state in STATES}
    names = [name.strip().lower() for name in text.split(",")]
    if any(name not in known for name in names):
        raise UsageError(f"Invalid state list '{text}'. Valid states are: {', '.join(STATES)}")
    return {known[name] for name in names}


def chosen(admin: KafkaAdmin, given: Given) -> list[str]:
    """The groups that are meant."""
    return sorted(admin.group_states()) if given.has("all-groups") else list(dict.fromkeys(given.all("group")))


# -- list and describe --------------------------------------------------------------------------------------


def list_groups(admin: KafkaAdmin, given: Given, states: Collection[str]) -> None:
    found = {name: state for name, state in sorted(admin.group_states().items()) if not states or state in states}
    if not given.has("state"):
        for name in found:
            print(name)
        return
    width = max(15, *map(len, found), 0) + 10 if found else 25
    for name, state in (("GROUP", "STATE"), *found.items()):
        print(f"{name:<{width}} {state:<20}")


def describe(admin: KafkaAdmin, given: Given) -> None:
    show = describe_members if given.has("members") else describe_state if given.has("state") else describe_offsets
    known = admin.group_states()
    for group in chosen(admin, given):
        if group not in known:
            raise GroupError(f"{NO_GROUP}: Group {group} not found.")
        facts = admin.describe_group(group)
        if facts.state == "Empty":
            print(f"\nConsumer group '{group}' has no active members.", file=sys.stderr)
        elif facts.state in ("PreparingRebalance", "CompletingRebalance"):
            print(f"\nWarning: Consumer group '{group}' is rebalancing.", file=sys.stderr)
        elif facts.state == "Dead":
            print(f"\nConsumer group '{group}' does not exist.", file=sys.stderr)
            continue
        show(admin, facts, given.has("verbose"))


def describe_offsets(admin: KafkaAdmin, facts: GroupDetails, verbose: bool) -> None:
    committed = admin.group_offsets(facts.name)
    owners = {tp: member for member in facts.members for tp in member.partitions}
    ends = admin.end_offsets({*committed, *owners})
    idle = [member for member in facts.members if not member.partitions]
    if not committed and not owners and not idle:
        return
    rows = [offset_row(facts.name, tp, committed.get(tp), ends.get(tp), owners.get(tp)) for tp in sorted(ends)]
    rows += [[facts.name, *"-----", "-", *identity(member)] for member in idle]
    titles = ["GROUP", "TOPIC", "PARTITION", "LEADER-EPOCH", "CURRENT-OFFSET", "LOG-END-OFFSET", "LAG"]
    titles += ["CONSUMER-ID", "HOST", "CLIENT-ID"]
    shown = range(len(titles)) if verbose else [place for place in range(len(titles)) if place != 3]
    widths = {place: max(15, *(len(row[place]) for row in rows)) for place in (0, 1, 7, 8)} | {2: 10}
    print()
    for row in [titles, *rows]:
        print(" ".join(row[place] if place == 9 else f"{row[place]:<{widths.get(place, 15)}}" for place in shown))


def offset_row(
    group: str, place: TopicPartition, at: int | None, end: int | None, owner: MemberDetails | None
) -> list[str]:
    lag = "-" if at is None or end is None else str(end - at)
    counts = ["-" if number is None else str(number) for number in (at, end)]
    # The client library does not tell the epoch of a committed offset.
    return [group, place.topic, str(place.partition), "-", *counts, lag, *identity(owner)]


def identity(member: MemberDetails | None) -> list[str]:
    return ["-", "-", "-"] if member is None else [member.member_id, member.host, member.client_id]


def describe_members(admin: KafkaAdmin, facts: GroupDetails, verbose: bool) -> None:
    titles = ["GROUP", "CONSUMER-ID", "HOST", "CLIENT-ID", "#PARTITIONS"]
    rows = [[facts.name, *identity(member), str(len(member.partitions))] for member in facts.members]
    widths = [max(15, *(len(row[place]) for row in [titles, *rows])) for place in range(4)] + [15]
    print()
    for number, row in enumerate([titles, *rows], start=-1):
        line = "".join(f"{cell:<{width}} " for cell, width in zip(row, widths, strict=True))
        if verbose and number < 0:
            line += f"{'CURRENT-EPOCH':<15} {'CURRENT-ASSIGNMENT':<20} {'TARGET-EPOCH':<15} {'TARGET-ASSIGNMENT':<20}"
        elif verbose:
            line += f"{'-':<15} {assigned(facts.members[number].partitions):<20} {'-':<15} {'-':<20}"
        print(line)


def assigned(partitions: Sequence[TopicPartition]) -> str:
    """`topic:0,1;other:2`, as the tool writes assignments."""
    topics: dict[str, list[int]] = {}
    for place in sorted(partitions):
        topics.setdefault(place.topic, []).append(place.partition)
    return ";".join(f"{topic}:{','.join(map(str, numbers))}" for topic, numbers in topics.items()) or "-"


def describe_state(admin: KafkaAdmin, facts: GroupDetails, verbose: bool) -> None:
    titles = ("GROUP", "COORDINATOR (ID)", "ASSIGNMENT-STRATEGY", "STATE", "#MEMBERS")
    row = (facts.name, facts.coordinator, facts.assignor or "-", facts.state, str(len(facts.members)))
    first, second = max(15, len(row[0])), max(25, len(row[1]))
    print()
    for cells in (titles, row):
        print(f"{cells[0]:<{first}} {cells[1]:<{second}} {cells[2]:<20} {cells[3]:<20} {cells[4]}")


# -- delete -------------------------------------------------------------------------------------------------


def delete(admin: KafkaAdmin, given: Given) -> None:
    known = admin.group_states()
    failed: dict[str, str] = {}
    groups = chosen(admin, given)
    for group in groups:
        if group not in known:
            failed[group] = f"{NO_GROUP}: The group id does not exist."
            continue
        try:
            admin.delete_group(group)
        except ConnectError as exc:
            failed[group] = f"{exc.java_class}: {reason(exc)}"
    done = ", ".join(f"'{group}'" for group in groups if group not in failed)
    if not failed:
        print(f"Deletion of requested consumer groups ({done}) was successful.")
        return
    print("\nError: Deletion of some consumer groups failed:")
    for group, why in failed.items():
        print(f"* Group '{group}' could not be deleted due to: {why}")
    if done:
        print(f"\nThese consumer groups were deleted successfully: {done}")


def delete_offsets(admin: KafkaAdmin, given: Given) -> None:
    group = given.one("group") or ""
    places = partitions_of(admin, given.all("topic"))
    error = ""
    if group not in admin.group_states():
        error = f"{NO_GROUP}: The group id does not exist."
    else:
        try:
            admin.forget_group_offsets(group, places)
        except ConnectError as exc:
            error = f"{exc.java_class}: {reason(exc)}"
    if error:
        print(f"\nError: {error.partition(': ')[2]}")
    else:
        print(f"Request succeeded for deleting offsets from group {group}.")
    print(f"\n{'TOPIC':<15} {'PARTITION':<10} {'STATUS':<15}")
    for place in places:
        print(f"{place.topic:<15} {place.partition:<10} {f'Error: {error}' if error else 'Successful':<15}")


# -- reset --------------------------------------------------------------------------------------------------


def check_reset(given: Given) -> None:
    """UsageError unless it is clear which offsets go where."""
    if not given.has("group", "all-groups"):
        raise UsageError("Option [reset-offsets] takes one of these options: [all-groups], [group]")
    if given.has("execute") and given.has("dry-run"):
        raise UsageError("Option [reset-offsets] only accepts one of [execute], [dry-run]")
    if not given.has("execute", "dry-run"):
        print(NOT_EXECUTED, file=sys.stderr)
    if sum(given.has(name) for name in SCENARIOS) != 1:
        names = ", ".join(f"[{name}]" for name in SCENARIOS)
        raise UsageError(f"Option '[reset-offsets]' requires one of the following scenarios: [{names}]")
    if not given.has("topic", "all-topics", "from-file"):
        raise UsageError("One of the reset scopes should be defined: --all-topics, --topic.")


def reset(admin: KafkaAdmin, given: Given) -> None:
    states = admin.group_states()
    file = given.one("from-file")
    planned: dict[str, Offsets] = {}
    for group in chosen(admin, given):
        if states.get(group, "Dead") not in ("Empty", "Dead"):
            print(
                f"\nError: Assignments can only be reset if the group '{group}' is inactive, but the current state is "
                f"{states[group]}."
            )
            continue
        planned[group] = from_file(admin, group, file) if file else moved(admin, given, group)
        if given.has("execute"):
            admin.alter_group_offsets(group, planned[group])
    if given.has("export"):
        several = len(planned) > 1
        for group, offsets in planned.items():
            for place, offset in sorted(offsets.items()):
                print(f"{f'{group},' if several else ''}{place.topic},{place.partition},{offset}")
        print()
    elif planned:
        print(f"\n{'GROUP':<30} {'TOPIC':<30} {'PARTITION':<10} {'NEW-OFFSET':<15}")
        for group, offsets in planned.items():
            for place, offset in sorted(offsets.items()):
                print(f"{group:<30} {place.topic:<30} {place.partition:<10} {offset:<15}")


def moved(admin: KafkaAdmin, given: Given, group: str) -> Offsets:
    """Where the flags want the group's offsets to be."""
    committed = admin.group_offsets(group)
    places = sorted(committed) if given.has("all-topics") else partitions_of(admin, given.all("topic"))
    if given.has("to-earliest"):
        return admin.start_offsets(places)
    ends = admin.end_offsets(places)
    if given.has("to-latest"):
        return ends
    if given.has("to-datetime", "by-duration"):
        return at_moment(admin, places, ends, moment(given))
    if given.has("to-current"):
        return {place: committed.get(place, ends[place]) for place in places}
    starts = admin.start_offsets(places)
    if (shift := given.number("shift-by")) is not None:
        missing = [str(place) for place in places if place not in committed]
        if missing:
            raise GroupError(
                f"Cannot shift offset for partition {missing[0]} since there is no current committed offset"
            )
        wanted = {place: committed[place] + shift for place in places}
    else:
        wanted = dict.fromkeys(places, given.number("to-offset") or 0)
    return within(wanted, starts, ends)


def within(wanted: Mapping[TopicPartition, int], starts: Offsets, ends: Offsets) -> Offsets:
    """Offsets that exist, nearest to those wanted."""
    found = {}
    for place, offset in wanted.items():
        found[place] = min(max(offset, starts[place]), ends[place])
        if found[place] != offset:
            side = "lower than earliest" if offset < starts[place] else "higher than latest"
            print(
                f"New offset ({offset}) is {side} offset for topic partition {place}. "
                f"Value will be set to {found[place]}",
                file=sys.stderr,
            )
    return found


def moment(given: Given) -> int:
    """Milliseconds since the epoch that `--to-datetime` or `--by-duration` speak of."""
    from syncline.cli.kafka.moments import before_now, milliseconds

    text = given.one("to-datetime")
    try:
        return milliseconds(text) if text is not None else before_now(given.one("by-duration") or "")
    except ValueError as exc:
        raise UsageError(str(exc)) from None


def at_moment(admin: KafkaAdmin, places: Sequence[TopicPartition], ends: Offsets, when: int) -> Offsets:
    found = admin.offsets_at(places, when)
    for place in places:
        if found[place] < 0:
            print(
                f"\nWarn: Partition {place.partition} from topic {place.topic} is empty. Falling back to latest known "
                "offset."
            )
            found[place] = ends[place]
    return found


def partitions_of(admin: KafkaAdmin, topics: Sequence[str]) -> list[TopicPartition]:
    """Partitions named as `topic` or `topic:0,1`; GroupError for a topic that does not exist."""
    found: list[TopicPartition] = []
    for text in topics:
        topic, colon, numbers = text.partition(":")
        facts = admin.topic(topic)
        if facts is None:
            raise GroupError("This server does not host this topic-partition.")
        if colon and not all(number.strip().isdecimal() for number in numbers.split(",")):
            raise UsageError(f"Invalid topic specification {text!r}: write topic:0,1")
        chosen = [int(number) for number in numbers.split(",")] if colon else list(range(facts.partitions))
        found += [TopicPartition(topic, number) for number in chosen]
    return list(dict.fromkeys(found))


def from_file(admin: KafkaAdmin, group: str, file: str) -> Offsets:
    """Offsets of a CSV file, with or without the group in front."""
    wanted: Offsets = {}
    try:
        with open(file, encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                cells = [cell.strip() for cell in line.split(",")]
                if cells == [""]:
                    continue
                if len(cells) == 4 and cells.pop(0) != group:
                    continue
                if len(cells) != 3 or not cells[1].isdecimal() or not cells[2].isdecimal():
                    raise GroupError(f"line {number} of {file} is not topic,partition,offset: {line.strip()!r}")
                wanted[TopicPartition(cells[0], int(cells[1]))] = int(cells[2])
    except OSError as exc:
        raise GroupError(f"the file {file} cannot be read: {exc.strerror}") from exc
    return within(wanted, admin.start_offsets(wanted), admin.end_offsets(wanted))
