"""Webhook bodies of the Cloud API for tests: the files of tests/payloads, and bodies built around a single part."""

import json
from pathlib import Path

from frontdesk.channels.cloud_webhook import parse

PAYLOADS = Path(__file__).parent / "payloads"
NUMBER, ACCOUNT = "106540352242922", "102290129340398"
PHONE, USER_ID = "4915112345678", "DE.13491208655302741918"


def read(name):
    return (PAYLOADS / f"{name}.json").read_bytes()


def events(name):
    return parse(read(name))


def event(name):
    (only,) = events(name)
    return only


def body(*messages, contacts=None, field="messages", key="messages", **more):
    """A whole body around these messages (or whatever `key` holds)."""
    value = {"metadata": {"phone_number_id": NUMBER}, key: list(messages), **more}
    if contacts is not None:
        value["contacts"] = contacts
    return json.dumps({"entry": [{"id": ACCOUNT, "changes": [{"field": field, "value": value}]}]}).encode()


def message(**parts):
    return {"from": PHONE, "id": "wamid.1", "timestamp": "1780000000", **parts}


def text_message(text="hallo", **parts):
    return message(type="text", text={"body": text}, **parts)


def one(raw, **more):
    (only,) = parse(body(raw, **more))
    return only
