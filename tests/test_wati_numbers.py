"""Numbers at WATI as owners add and change them: on the desk and on the command line."""

import pytest
from click.testing import CliRunner

from frontdesk.channels import wati_account
from frontdesk.cli import frontdesk
from frontdesk.errors import FrontdeskError
from frontdesk.flows import webhook_address
from frontdesk.flows.first_run import DEMO_CLIENT
from frontdesk.store import audit, numbers
from tests import wati_numbers
from tests.standins.wati import TOKEN

NUMBER = {
    "channel": "wati",
    "endpoint": "https://live-mt-server.wati.io/384776",
    "access_token": f"Bearer {TOKEN}",
    "client": "1",
    "display_phone": "+49 30 2",
    "messages_per_second": "3",
}


def test_a_number_at_wati_is_added_and_its_address_shown_to_copy(owner, app, db, settings):
    page = owner.get(owner.submit("/numbers", **NUMBER).location).text
    number = numbers.find(db, "wati", "384776")
    passkey = webhook_address.secret(settings, number)
    assert f"/webhooks/wati/{passkey}" in page and "Session Message Sent v2" in page and TOKEN not in page
    assert numbers.sender(number, settings).access_token == TOKEN and number.base_url == NUMBER["endpoint"]
    assert app.test_client().post(f"/webhooks/wati/{passkey}", data=b"{}").status_code == 200


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("endpoint", "", "The API endpoint is missing."),
        ("endpoint", "https://example.com/384776", "An endpoint of WATI"),
        ("endpoint", "http://live-mt-server.wati.io/384776", "An endpoint of WATI"),
        ("endpoint", "https://live-mt-server.wati.io", "The number of the account is missing"),
        ("endpoint", "https://live-mt-server.wati.io/1/2", "stands only the number of the account"),
        ("endpoint", "https://wati.io@169.254.169.254/1", "An endpoint of WATI"),
        ("endpoint", "https://169.254.169.254/x?.wati.io", "An endpoint of WATI"),
        ("access_token", "", "The access token is missing."),
        ("channel_phone", "none", "The phone number is digits"),
        ("messages_per_second", "0", "Messages a second is a number"),
    ],
)
def test_a_wrong_number_at_wati_is_refused_beside_its_field(owner, db, field, value, words):
    page = owner.submit("/numbers", **{**NUMBER, field: value})
    assert page.status_code == 422 and words in page.text and TOKEN not in page.text
    assert numbers.all_of_them(db)[-1].channel == "cloud"


def test_the_same_number_is_not_added_twice_but_two_of_one_account_are(owner, db):
    owner.submit("/numbers", **NUMBER)
    assert "This number is here already." in owner.submit("/numbers", **NUMBER).text
    assert owner.submit("/numbers", **NUMBER, channel_phone="+4930901820").status_code == 303
    assert numbers.find(db, "wati", "384776/4930901820")


def test_its_endpoint_can_be_corrected_and_a_new_address_made(owner, db, settings):
    owner.submit("/numbers", **NUMBER)
    number = numbers.find(db, "wati", "384776")
    owner.submit(f"/numbers/{number.id}", **{**NUMBER, "endpoint": "live-mt-server.wati.io/999/api/v1/", "access_token": ""})
    moved = numbers.get(db, number.id)
    assert (moved.external_id, moved.base_url) == ("999", "https://live-mt-server.wati.io/999")
    assert moved.access_token_encrypted == number.access_token_encrypted and moved.webhook_key == number.webhook_key
    owner.submit(f"/numbers/{number.id}/address")
    assert webhook_address.secret(settings, numbers.get(db, number.id)) != webhook_address.secret(settings, moved)
    assert owner.submit("/numbers/1/address").status_code == 404


def test_an_agent_gets_no_address(agent, db, settings):
    number = wati_numbers.add(db, settings)
    assert agent.get(f"/numbers/{number.id}").status_code == 403


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("https://live-mt-server.wati.io/384776", ("https://live-mt-server.wati.io/384776", "384776")),
        (" live-mt-server.wati.io/384776/ ", ("https://live-mt-server.wati.io/384776", "384776")),
        ("https://live-mt-server.wati.io/384776/api/v1/sendSessionMessage", ("https://live-mt-server.wati.io/384776", "384776")),
        ("https://live-server-1234.wati.io", ("https://live-server-1234.wati.io", "live-server-1234.wati.io")),
    ],
)
def test_endpoints_as_people_copy_them(typed, found):
    endpoint = wati_account.endpoint(typed)
    assert (endpoint.base_url, endpoint.account) == found


@pytest.mark.parametrize("typed", ["https://[::1", "https://live.wati.io:99999/1", "", "https://"])
def test_what_is_no_address_is_told_so(typed):
    with pytest.raises(FrontdeskError):
        wati_account.endpoint(typed)


# --- bin/frontdesk numbers --------------------------------------------------------------------------------------------------


@pytest.fixture
def run(settings, monkeypatch, db):
    monkeypatch.setattr("frontdesk.settings.load", lambda: settings)

    def run(*words: str, typed: str = ""):
        return CliRunner().invoke(frontdesk, ["numbers", *words], input=typed)

    return run


def test_a_number_is_added_on_the_command_line_with_its_address(run, db, settings):
    done = run("add-wati", NUMBER["endpoint"], "--client", DEMO_CLIENT, typed=f"Bearer {TOKEN}\n")
    number = numbers.find(db, "wati", "384776")
    assert done.exit_code == 0, done.output
    assert f"/webhooks/wati/{webhook_address.secret(settings, number)}" in done.output and TOKEN not in done.output
    assert numbers.sender(number, settings).access_token == TOKEN
    assert [entry.deed for entry in audit.oldest_first(db) if entry.subject == f"number {number.id}"] == ["number.added"]
    again = run("add-wati", NUMBER["endpoint"], "--client", DEMO_CLIENT, typed="another\n")
    assert webhook_address.secret(settings, number) in again.output, "a new token keeps the address"
    assert "384776  -  wati" in run("list").output
    assert "Stopped" in run("stop", "384776").output and "Resumed" in run("resume", "384776").output


def test_what_is_wrong_on_the_command_line_is_told(run):
    for words in (("https://example.com/1",), (NUMBER["endpoint"], "--channel-phone", "x")):
        done = run("add-wati", *words, "--client", DEMO_CLIENT, typed="t\n")
        assert isinstance(done.exception, FrontdeskError)
