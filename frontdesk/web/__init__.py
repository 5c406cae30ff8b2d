"""Blueprints: what people and programs see over HTTP besides the webhook. Flask lives here and in chatbot.py only."""

from flask import Flask

from frontdesk.flows.context import Context
from frontdesk.web.account import account_pages
from frontdesk.web.api import api_pages
from frontdesk.web.api_tokens import token_pages
from frontdesk.web.attachments import attachment_pages
from frontdesk.web.audiences import audience_pages
from frontdesk.web.audit import audit_pages
from frontdesk.web.broadcasts import broadcast_pages
from frontdesk.web.callbacks import callback_pages
from frontdesk.web.canned import canned_pages
from frontdesk.web.checks import check_pages
from frontdesk.web.clients import client_pages
from frontdesk.web.compose import compose_pages
from frontdesk.web.dead_letters import dead_letter_pages
from frontdesk.web.digests import digest_pages
from frontdesk.web.documents import document_pages
from frontdesk.web.inbox import inbox_pages
from frontdesk.web.knowledge import knowledge_pages
from frontdesk.web.login import login_pages
from frontdesk.web.metrics import metrics_page
from frontdesk.web.numbers import number_pages
from frontdesk.web.overview import overview_pages
from frontdesk.web.pages import add_pages
from frontdesk.web.people import people_pages
from frontdesk.web.questions import question_pages
from frontdesk.web.rejected import rejected_pages
from frontdesk.web.replays import replay_pages
from frontdesk.web.rq import rq_pages
from frontdesk.web.schedules import schedule_pages
from frontdesk.web.tags import tag_pages
from frontdesk.web.templates import template_pages
from frontdesk.web.thread import thread_pages
from frontdesk.web.tools import tool_pages
from frontdesk.web.users import user_pages
from frontdesk.web.widget import widget_endpoints
from frontdesk.web.widget_pages import widget_pages


PAGES = (
    login_pages,
    account_pages,
    user_pages,
    inbox_pages,
    thread_pages,
    tag_pages,
    compose_pages,
    attachment_pages,
    template_pages,
    schedule_pages,
    dead_letter_pages,
    rejected_pages,
    client_pages,
    knowledge_pages,
    replay_pages,
    check_pages,
    tool_pages,
    question_pages,
    audience_pages,
    broadcast_pages,
    number_pages,
    widget_pages,
    widget_endpoints,
    overview_pages,
    document_pages,
    digest_pages,
    rq_pages,
    canned_pages,
    people_pages,
    audit_pages,
    api_pages,
    token_pages,
    callback_pages,
    metrics_page,
)


def add_desk(app: Flask, context: Context) -> None:
    """Every page of the desk. Each blueprint protects itself (access.py)."""
    app.extensions["frontdesk"] = context
    for make_pages in PAGES:
        app.register_blueprint(make_pages(context))
    add_pages(app)
