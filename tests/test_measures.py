"""What is counted, and how it is shown: histogram, store/measures.py, plots and the overview."""

import json
import re

import pytest

from frontdesk import histogram, queues
from frontdesk.flows import sweep, take_over
from frontdesk.store import measures, numbers
from frontdesk.store.database import transaction
from frontdesk.web.plots import Series, bar_plot, line_plot
from tests import demo
from tests.test_reply import answer, context, customer_writes, inbound_states, model, outbound  # noqa: F401

HOUR = 3600


@pytest.mark.parametrize("seconds", [0.001, 0.02, 1, 17, 300, 40_000])
def test_a_percentile_is_within_a_tenth(seconds):
    made = histogram.made([seconds] * 9 + [seconds * 100])
    assert histogram.percentile(made, 0.5) == pytest.approx(seconds, rel=0.1)


def test_percentiles_of_a_known_spread():
    made = histogram.made(range(1, 101))
    assert histogram.percentile(made, 0.5) == pytest.approx(50, rel=0.1)
    assert histogram.percentile(made, 0.95) == pytest.approx(95, rel=0.1)
    assert histogram.percentile({}, 0.5) is None


def test_an_answer_is_counted_with_its_wait_and_its_model_s_time(context, model, clock):
    customer_writes(context, "Hi")
    clock.forward(10)
    answer(context)
    [counted] = measures.between(context.db, clock() // HOUR * HOUR, clock() + 1, HOUR).values()
    assert (counted.received, counted.bot, counted.person) == (1, 1, 0)
    assert histogram.percentile(counted.durations["waited"], 0.5) == pytest.approx(12, rel=0.15)


def test_an_hour_that_was_counted_before_searches_were_is_still_read(context):
    written = measures._written(measures.Counted(received=3))
    before = [*json.loads(written)[:4], {name: {} for name in measures.DURATIONS if name != "retrieval"}]
    assert measures._read(json.dumps(before)) == measures.Counted(received=3)


def test_a_person_s_answer_counts_as_a_person_s(context, clock):
    customer_writes(context, "Hi")
    take_over.answer_by_person(context, 1, 1, "Hello")
    [counted] = measures.between(context.db, clock() // HOUR * HOUR, clock() + 1, HOUR).values()
    assert (counted.bot, counted.person) == (0, 1)


def test_hours_that_are_over_come_to_the_same_counted_once_or_live(context, settings, clock):
    with transaction(context.db) as db:
        demo.fill(db, settings, 1, clock())
    begin, end = clock() // HOUR * HOUR - 60 * HOUR, clock() + 1
    live = measures.between(context.db, begin, end, HOUR)
    sweep.sweep(context)
    assert context.db.execute("SELECT COUNT(*) FROM measures WHERE client_id > 0").fetchone()[0] > 5
    rolled = measures.between(context.db, begin, end, HOUR)
    assert {at: (one.received, one.bot, one.person, one.failures) for at, one in rolled.items()} == {
        at: (one.received, one.bot, one.person, one.failures) for at, one in live.items()
    }
    assert sum(one.failures.get(131047, 0) for one in rolled.values()) == 1
    assert measures.between(context.db, begin, end, HOUR, client_id=2)[begin].received == 0


def test_acknowledgements_are_written_once_a_second_and_read_by_hour(redis):
    acknowledgements = queues.Acknowledgements(redis)
    for n in range(100):
        acknowledgements.count(0.002, 7200 + n / 10)
    [before, found] = acknowledgements.read([3600, 7200])
    assert before == {} and sum(found.values()) > 80
    [found_in_five_minutes, after] = acknowledgements.read([7200, 7500], 300)
    assert after == {} and found_in_five_minutes == found
    assert histogram.percentile(found, 0.5) == pytest.approx(0.002, rel=0.1)


def test_the_model_s_speed_is_of_all_tokens_in_all_the_time_they_took(redis):
    speeds = queues.Speeds(redis)
    day = 20_000 * 86_400
    for tokens, seconds, at in ((100, 10, day - 1), (10, 1, day), (90, 3, day + 299), (50, 1, day + 3600)):
        speeds.add(tokens, seconds, at)
    assert speeds.read([day - 300, day, day + 300], 300) == [10, 25, None]
    assert speeds.read([day - 3600, day, day + 3600], 3600) == [10, 25, 50]


@pytest.mark.parametrize("span", ["hour", "day", "week"])
def test_the_overview_draws_how_quick_the_model_and_acknowledgements_were(app, agent, redis, clock, span):
    queues.Speeds(redis).add(120, 10, clock() - 60)
    queues.Acknowledgements(redis).count(0.002, clock() - 60)
    page = agent.get(f"/overview?span={span}").text
    assert "tokens a second 12</title>" in page
    assert re.search(r"p95 [\d.]+ ms</title>", page)


def test_the_tiles_lead_only_where_their_reader_may_go(app, agent, owner, db):
    numbers.stop(db, 1, "token expired", 190, 1)
    for browser, may in ((agent, False), (owner, True)):
        page = browser.get("/overview").text
        tiles = page[page.index('class="tiles"') : page.index("</ul>", page.index('class="tiles"'))]
        assert "1</span> <span class=\"soft\">number stopped" in tiles
        assert ('href="/dead-letters"' in tiles, 'href="/clients"' in tiles) == (may, may)


def test_the_tiles_count_the_chosen_client_s_customers_alone(app, agent, db, settings, clock):
    demo.fill(db, settings, 1, clock())
    figures = [re.findall(r'class="figure">(\d+)', agent.get(path).text)[:2] for path in ("/overview", "/overview?client=99")]
    assert figures[0] != ["0", "0"] and figures[1] == ["0", "0"]


def test_an_empty_plot_says_so_and_one_point_is_drawn():
    assert bar_plot("Messages", "", ["a", "b"], [Series("x", "a", [0, 0])]).is_empty
    one = line_plot("Time", " s", ["a", "b"], [Series("x", "a", [None, 7.0])])
    assert not one.is_empty and len(one.dots) == 1 and one.lines == []


def test_axes_end_at_round_numbers_above_the_highest_value():
    plot = bar_plot("Messages", "", ["a"], [Series("x", "a", [87])])
    assert [label for _, label in plot.y_ticks] == ["0", "50", "100"]


@pytest.mark.parametrize("span", ["hour", "day", "week", "nonsense"])
def test_the_overview_shows_a_new_installation_and_a_busy_one(app, agent, db, settings, clock, span):
    assert "Nothing in this time." in agent.get(f"/overview?span={span}").text
    demo.fill(db, settings, 1, clock())
    page = agent.get(f"/overview?span={span}")
    assert page.status_code == 200 and "<svg" in page.text and "style=" not in page.text
    assert len(page.data) < 100_000


def test_nothing_new_is_told_with_204(app, agent, db):
    first = agent.fragment("/overview/figures?span=week").text
    known = first.split("known=")[1].split('"')[0]
    assert agent.fragment(f"/overview/figures?span=week&known={known}").status_code == 204


def test_the_axis_is_in_the_reader_s_time_zone(app, agent, db, settings, clock):
    demo.fill(db, settings, 1, clock())
    agent.set_cookie("zone", "Asia/Kolkata")
    assert ":30</text>" in agent.get("/overview?span=day").text
