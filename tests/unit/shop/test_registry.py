"""The registry's rules, with time that stands still until it is moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncline.kit.discovery.eureka import (
    DataCenter,
    InstanceInfo,
    LeaseInfo,
    MalformedInstance,
    Port,
    convert,
    hash_code,
    instance_document,
    parse_applications,
    parse_instance,
)
from syncline.kit.discovery.instances import Status
from syncline_shop.discovery import page, xml
from syncline_shop.discovery.domain import Registry, UnknownInstance
from tests.unit.kit.manual_clock import ManualClock

APP = "ORDER-SERVICE"


def made(id_: str = "one", **members: Any) -> InstanceInfo:
    members = {"status": "UP", "last_dirty_timestamp": 1, **members}
    return InstanceInfo(
        instance_id=id_,
        host_name="127.0.0.1",
        ip_addr="127.0.0.1",
        app=APP,
        port=Port(8080),
        secure_port=Port(443, enabled=False),
        data_center_info=DataCenter(),
        lease_info=LeaseInfo(renewal_seconds=2, duration_seconds=6),
        **members,
    )


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def registry(clock: ManualClock) -> Registry:
    return Registry(clock=clock)


def ids(registry: Registry) -> list[str]:
    return [info.id for info in registry.instances()]


def test_a_lease_that_is_renewed_lives_and_one_that_is_not_expires(registry: Registry, clock: ManualClock) -> None:
    registry.register(made("one"))
    registry.register(made("two"))
    for _ in range(4):
        clock.now += 2
        registry.renew(APP, "one")
        registry.expire()
    assert ids(registry) == ["one"]
    assert [(info.id, info.action_type) for info in registry.changes()] == [("one", "ADDED"), ("two", "DELETED")]
    with pytest.raises(UnknownInstance):
        registry.renew(APP, "two")


@pytest.mark.parametrize(
    ("silent", "of", "expire"),
    [
        pytest.param(1, 1, True, id="the only one"),
        pytest.param(1, 2, True, id="a single death, though it is half of all"),
        pytest.param(2, 4, False, id="half of four"),
        pytest.param(3, 20, True, id="exactly 85 % renew"),
        pytest.param(4, 20, False, id="80 % renew"),
        pytest.param(20, 20, False, id="everybody at once"),
    ],
)
def test_self_preservation_below_85_percent_of_renewals(
    registry: Registry, clock: ManualClock, silent: int, of: int, expire: bool
) -> None:
    for number in range(of):
        registry.register(made(f"{number:02}"))
    clock.now += 7
    for number in range(silent, of):
        registry.renew(APP, f"{number:02}")
    assert len(registry.expire()) == (silent if expire else 0)
    assert registry.preserving is not expire
    assert len(ids(registry)) == (of - silent if expire else of)


def test_self_preservation_ends_when_renewals_come_again(registry: Registry, clock: ManualClock) -> None:
    for number in range(4):
        registry.register(made(str(number)))
    clock.now += 7
    registry.expire()
    assert registry.preserving
    for number in range(3):
        registry.renew(APP, str(number))
    assert [info.id for info in registry.expire()] == ["3"]
    assert not registry.preserving


def test_self_preservation_can_be_switched_off(clock: ManualClock) -> None:
    registry = Registry(self_preservation=False, clock=clock)
    registry.register(made("1"))
    registry.register(made("2"))
    clock.now += 7
    assert len(registry.expire()) == 2


def test_the_later_description_of_an_instance_wins(registry: Registry) -> None:
    registry.register(made(status="DOWN", last_dirty_timestamp=5))
    registry.register(made(status="UP", last_dirty_timestamp=4))
    assert registry.get(APP, "one").status == "DOWN"
    registry.register(made(status="UP", last_dirty_timestamp=6))
    assert registry.get(APP, "one").status == "UP"


def test_an_instance_that_changed_since_it_registered_is_asked_to_register(registry: Registry) -> None:
    registry.register(made(last_dirty_timestamp=5))
    registry.renew(APP, "one", 5)
    with pytest.raises(UnknownInstance):
        registry.renew(APP, "one", 6)


def test_an_operators_word_holds_over_registrations_until_it_is_taken_back(registry: Registry) -> None:
    registry.register(made())
    registry.override(APP, "one", Status.OUT_OF_SERVICE)
    registry.register(made(last_dirty_timestamp=2))
    info = registry.get(APP, "one")
    assert (info.status, info.overridden) == ("OUT_OF_SERVICE", Status.OUT_OF_SERVICE)
    registry.register(made(status="DOWN", last_dirty_timestamp=3))
    assert registry.get(APP, "one").status == "DOWN"
    registry.clear_override(APP, "one", Status.UP)
    info = registry.get(APP, "one")
    assert (info.status, info.overridden, info.action_type) == ("UP", Status.UNKNOWN, "MODIFIED")


def test_an_operators_word_is_no_sign_of_life(registry: Registry, clock: ManualClock) -> None:
    registry.register(made())
    clock.now += 5
    registry.override(APP, "one", Status.OUT_OF_SERVICE)
    registry.add_metadata(APP, "one", {"zone": "a"})
    clock.now += 2
    assert len(registry.expire()) == 1


def test_every_change_has_a_version_and_renewals_have_none(registry: Registry, clock: ManualClock) -> None:
    seen = [registry.version]
    changes: list[Callable[[], None]] = [
        lambda: registry.register(made()),
        lambda: registry.override(APP, "one", Status.DOWN),
        lambda: registry.clear_override(APP, "one", Status.UP),
        lambda: registry.add_metadata(APP, "one", {"a": "b"}),
        lambda: registry.cancel(APP, "one"),
    ]
    for change in changes:
        change()
        assert registry.version not in seen
        seen.append(registry.version)
    registry.register(made())
    version = registry.version
    registry.renew(APP, "one")
    registry.expire()
    assert registry.version == version
    assert Registry(clock=clock).version.partition(".")[0] != version.partition(".")[0]


def test_changes_are_forgotten_after_a_while(registry: Registry, clock: ManualClock) -> None:
    registry.register(made())
    clock.now += 181
    registry.renew(APP, "one")
    registry.expire()
    assert registry.changes() == []
    assert ids(registry) == ["one"]


def test_the_hash_code_counts_by_status_in_order(registry: Registry) -> None:
    for id_, status in (("a", "UP"), ("b", "STARTING"), ("c", "UP"), ("d", "nonsense")):
        registry.register(made(id_, status=status))
    assert hash_code(registry.counts()) == "STARTING_1_UNKNOWN_1_UP_2_"
    assert hash_code(Registry().counts()) == ""


def test_virtual_addresses_lead_to_those_that_are_up(registry: Registry) -> None:
    registry.register(made("a", vip_address="orders,shop", secure_vip_address="safe"))
    registry.register(made("b", vip_address="orders", status="DOWN"))
    assert [info.id for info in registry.by_vip("orders")] == ["a"]
    assert [info.id for info in registry.by_vip("SHOP")] == ["a"]
    assert registry.by_vip("order") == []
    assert [info.id for info in registry.by_vip("safe", secure=True)] == ["a"]


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8)
printable = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"]), max_size=8)
infos = st.builds(
    made,
    id_=printable.filter(str.strip),
    status=st.sampled_from([status.value for status in Status]),
    metadata=st.dictionaries(texts.filter(lambda key: key != "@class"), printable),
    vip_address=printable.filter(str.strip) | st.none(),
    last_dirty_timestamp=st.integers(1, 2**60),
)


@given(infos)
def test_an_instance_survives_json(info: InstanceInfo) -> None:
    document = {"instance": instance_document(info)}
    read = parse_instance(msgspec.json.encode(document))
    assert {"instance": instance_document(read)} == document
    body = {"applications": {"application": [{"name": APP, "instance": [document["instance"]]}]}}
    (listed,) = parse_applications(msgspec.json.encode(body))
    assert listed == read


@given(infos)
def test_an_instance_survives_xml(info: InstanceInfo) -> None:
    document = {"instance": instance_document(info)}
    assert {"instance": instance_document(xml.read_instance(xml.write(document)))} == document


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no JSON"),
        (b"[]", "Expected `object`"),
        (b'{"instance": 1}', "Expected `object`"),
        (b'{"instance": {"port": {"$": "http"}}}', r"\$\.instance\.port\.\$"),
        (b"[" * 100_000, "JSON"),
    ],
)
def test_what_is_no_instance_is_refused_with_its_place(body: bytes, said: str) -> None:
    with pytest.raises(MalformedInstance, match=said):
        parse_instance(body)


BOMB = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><instance><app>&b;</app></instance>'
OUTSIDE = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><instance><app>&a;</app></instance>'


@pytest.mark.parametrize("body", [b"", b"<a/>", b"<instance>", BOMB, OUTSIDE, b"\xff<instance/>", b"x" * 10])
def test_xml_that_is_broken_or_brings_entities_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedInstance):
        xml.read_instance(body)


def test_a_cloud_instance_keeps_its_data_center() -> None:
    given = {"@class": "com.netflix.appinfo.AmazonInfo", "name": "Amazon", "metadata": {"instance-id": "i-1"}}
    info = msgspec.structs.replace(made(), data_center_info=convert(given, DataCenter))
    assert instance_document(info)["dataCenterInfo"] == given
    assert instance_document(xml.read_instance(xml.write({"instance": instance_document(info)}))) == instance_document(
        info
    )


@pytest.mark.parametrize(
    ("members", "url"),
    [
        ({"port": Port(1)}, "http://127.0.0.1:1"),
        ({"port": Port(1, enabled=False), "secure_port": Port(2)}, "https://127.0.0.1:2"),
        ({"port": Port(1), "secure_port": Port(2)}, "http://127.0.0.1:1"),
        ({"host_name": "::1", "port": Port(1)}, "http://[::1]:1"),
    ],
)
def test_callers_take_the_port_that_is_enabled(members: dict[str, Any], url: str) -> None:
    assert msgspec.structs.replace(made(), **members).url == url


def test_the_page_escapes_what_instances_say_and_links_only_addresses(registry: Registry) -> None:
    evil = "<script>alert('x')</script>\""
    info = msgspec.structs.replace(made(evil), app=evil.upper(), host_name='javascript:alert(1)//"')
    registry.register(info)
    registry.register(made("plain"))
    text = page.render(registry.instances(), preserving=True, now_ms=0)
    assert "<script" not in text.lower()
    assert text.count("<a href") == 2
    assert '<a href="http://127.0.0.1:8080/health/ready">http://127.0.0.1:8080</a>' in text
    assert "1 of 1 UP" in text
    assert "Self-preservation" in text
    assert "No instance is registered." in page.render([], preserving=False, now_ms=0)
