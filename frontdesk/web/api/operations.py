"""Every operation of the API: its routes, its checks and its description are made from this table."""

from frontdesk.web.api import audiences, broadcasts, callbacks, contacts, documents, lists, media, schedules, sending, tasks, templates

OPERATIONS = [
    *sending.OPERATIONS,
    *tasks.OPERATIONS,
    *lists.OPERATIONS,
    *contacts.OPERATIONS,
    *media.OPERATIONS,
    *templates.OPERATIONS,
    *schedules.OPERATIONS,
    *documents.OPERATIONS,
    *audiences.OPERATIONS,
    *broadcasts.OPERATIONS,
    *callbacks.OPERATIONS,
]
