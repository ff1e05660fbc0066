"""Users that a broker is started with, in the words of kafka-storage."""

from __future__ import annotations

import base64
import hashlib

import pytest

from syncline.broker.errors import BrokerError
from syncline.broker.sasl import SCRAM
from syncline.broker.scram_users import scram_user

SECRET = "alice-secret"


@pytest.mark.parametrize("mechanism", list(SCRAM))
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_password_and_what_was_made_of_it_give_the_same_credential(mechanism: str, quote: str) -> None:
    def quoted(text: str) -> str:
        return f"{quote}{text}{quote}"

    facts = f"name={quoted('alice')},salt={quoted('YQ==')},iterations={quoted('8192')}"
    by_password = scram_user(f"{mechanism}=[{facts},password={quoted(SECRET)}]")
    assert (by_password.name, by_password.mechanism) == ("alice", mechanism)
    assert (by_password.credential.iterations, by_password.credential.salt) == (8192, b"a")
    salted = base64.b64encode(hashlib.pbkdf2_hmac(SCRAM[mechanism], SECRET.encode(), b"a", 8192)).decode()
    assert scram_user(f"{mechanism}=[{facts},saltedpassword={quoted(salted)}]") == by_password


def test_salt_and_iterations_may_be_left_out() -> None:
    first, second = (scram_user(f"SCRAM-SHA-512=[name=a,password={SECRET}]").credential for _ in range(2))
    assert first.iterations == 4096
    assert first.salt != second.salt


def test_what_stands_in_quotes_may_have_commas_and_brackets() -> None:
    one = scram_user('SCRAM-SHA-256=[ name = "a,b" , password="x=1,]" , salt=YQ==]')
    assert one.name == "a,b"
    assert one == scram_user('SCRAM-SHA-256=[password="x=1,]",salt="YQ==",name="a,b"]')


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("alice", "is not of the form SCRAM-SHA-256=[name=NAME,password=PASSWORD]"),
        ("SCRAM-SHA-1=[name=a,password=hush]", "the mechanism is not one of SCRAM-SHA-256, SCRAM-SHA-512"),
        ("SCRAM-SHA-256=[]", "name is missing"),
        ("SCRAM-SHA-256=[password=hush]", "name is missing"),
        ("SCRAM-SHA-256=[name=a]", "one of password and saltedpassword is needed"),
        ("SCRAM-SHA-256=[name=a,password=]", "the password is empty"),
        ("SCRAM-SHA-256=[name=a,password=hush,saltedpassword=YQ==]", "and only one"),
        ("SCRAM-SHA-256=[name=a,saltedpassword=YQ==]", "needs the salt"),
        ("SCRAM-SHA-256=[name=a,saltedpassword=hush!,salt=YQ==]", "saltedpassword is not in base 64"),
        ("SCRAM-SHA-256=[name=a,password=hush,salt=-]", "salt is not in base 64"),
        ("SCRAM-SHA-256=[name=a,password=hush,iterations=4095]", "iterations=4095 is not from 4096 to 16384"),
        ("SCRAM-SHA-256=[name=a,password=hush,iterations=many]", "iterations=many is not from 4096 to 16384"),
        ("SCRAM-SHA-256=[name=a,pasword=hush]", "pasword is not one of name, password"),
        ("SCRAM-SHA-256=[name=a,name=b,password=hush]", "name is there twice"),
        ("SCRAM-SHA-256=[name=a,hush]", "is not key=value,key=value"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_secret(text: str, why: str) -> None:
    with pytest.raises(BrokerError) as refused:
        scram_user(text)
    assert why in str(refused.value)
    assert "hush" not in str(refused.value)
