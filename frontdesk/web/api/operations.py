"""Every operation of the API: its routes, its checks and its description are made from this table."""

from frontdesk.web.api import contacts, lists, schedules, sending, templates

OPERATIONS = [*sending.OPERATIONS, *lists.OPERATIONS, *contacts.OPERATIONS, *templates.OPERATIONS, *schedules.OPERATIONS]
