"""rq-dashboard under /rq, for owners: an application of its own, made when somebody first opens it, with its traps closed.

It trusts whatever stands in Redis: it puts job fields into the page as HTML, unpickles them, lets a GET requeue, and knows neither
log-in nor CSRF. So its templates are rewritten as they are loaded (everything is escaped, scripts carry a nonce), it reads jobs as
the JSON that ours are, and only requests that look as they should are let through, behind our own log-in and CSRF check.
"""

import logging
import re
import secrets
import threading
import zlib
from dataclasses import dataclass
from functools import cache, partial

from flask import Blueprint, Flask, Response, abort, g, request
from jinja2 import PackageLoader

from frontdesk import queues
from frontdesk.queues import DeserializationError
from frontdesk.flows.context import Context
from frontdesk.web import access

log = logging.getLogger(__name__)

# Its own scripts are templates that are compiled in the browser, hence eval; its elements carry style attributes.
POLICY = (
    "default-src 'self'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

REGISTRIES = "queued|failed|deferred|started|finished|scheduled|canceled"
_QUEUE, _JOB = f"(?:{'|'.join(queues.QUEUES)})", r"[\w.:-]{1,200}"
_PAGE = rf"{_QUEUE}/(?:{REGISTRIES})/[1-9]\d{{0,2}}/(?:asc|dsc)/[1-9]\d{{0,5}}"
READS = re.compile(
    rf"""(?:0/)?(?:view(?:/(?:queues|workers|jobs))?/?)?
    |static/[\w./-]+ | favicon\.ico
    |0/view/jobs/{_PAGE}
    |0/view/job/{_JOB}
    |0/data/(?:queues|workers)\.json
    |0/data/jobs/{_PAGE}\.json
    |0/data/job/{_JOB}\.json""",
    re.VERBOSE,
)
CHANGES = re.compile(
    rf"job/{_JOB}/(?:delete|requeue)|requeue/{_QUEUE}|queue/{_QUEUE}/(?:compact|(?:{REGISTRIES})/empty)"
)

# How rq fails on an entry that somebody else wrote, or that was cut short.
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, zlib.error, DeserializationError)

_making = threading.Lock()


def rq_pages(context: Context) -> Blueprint:
    pages = access.protect(Blueprint("rq", __name__), role=access.OWNER)

    made: list[Flask] = []

    def dashboard() -> Flask:
        with _making:  # of two who open it first, one waits
            if not made:
                made.append(_dashboard(context.queues.redis))
            return made[0]

    @pages.route("/rq/", defaults={"path": ""}, methods=["GET"])
    @pages.route("/rq/<path:path>", methods=["GET", "POST"])
    def pass_on(path: str):
        if not (CHANGES if request.method == "POST" else READS).fullmatch(path):  # HEAD is a GET: it must change nothing either
            abort(405 if CHANGES.fullmatch(path) else 404)
        g.nonce = secrets.token_urlsafe(16)
        environ = {
            **request.environ,
            "SCRIPT_NAME": request.environ.get("SCRIPT_NAME", "") + "/rq",
            "PATH_INFO": f"/{path}",
            "frontdesk.nonce": g.nonce,
        }
        answer = Response.from_app(dashboard(), environ, buffered=True)
        answer.headers["Content-Security-Policy"] = POLICY.format(nonce=g.nonce)
        if not path.startswith("static/"):
            # what its scripts send back as X-CSRFToken
            secure = request.is_secure or not context.settings.development
            answer.set_cookie("_csrf_token", access.csrf_token(), path="/rq", samesite="Strict", secure=secure)
        return answer

    return pages


def _dashboard(connection: queues.Connection) -> Flask:
    """rq-dashboard as an application. Imported only here: until somebody looks, no process pays for it."""
    web = _mended()
    app = Flask("rq_dashboard", static_folder=None)
    # What fails in it is told by our own error pages.
    app.config |= {"RQ_DASHBOARD_REDIS_URL": ["this Redis"], "RQ_DASHBOARD_POLL_INTERVAL": 2500, "PROPAGATE_EXCEPTIONS": True}
    app.redis_conn = connection
    app.jinja_env.autoescape = True
    app.register_blueprint(web.blueprint)
    app.jinja_env.loader = Rewritten("rq_dashboard")
    app.context_processor(
        lambda: {"nonce": request.environ["frontdesk.nonce"], "poll_interval": app.config["RQ_DASHBOARD_POLL_INTERVAL"]}
    )
    for error in (web.NoSuchJobError, *UNREADABLE):
        app.register_error_handler(error, _no_such_job)
    return app


def _no_such_job(error: Exception):
    log.info("%s cannot be shown: %s", request.path, type(error).__name__)
    return "There is no such job, or it cannot be read; its entry may have expired.", 404


@cache
def _mended():
    """Its module, changed once for the whole process: one Redis, ours, and jobs as JSON.

    It would connect anew for each request, unpickle whatever it finds, and tell in its own words that Redis is away.
    """
    from rq_dashboard import web

    web.from_url = lambda *_, **__: (None, web.current_app.redis_conn)
    web.Job = queues.FrontdeskJob
    web.config.serializer = queues.JSONSerializer
    web.Queue = _forgiving(partial_class(web.Queue, job_class=queues.FrontdeskJob))
    web.Worker = partial_class(web.Worker, job_class=queues.FrontdeskJob, serializer=queues.JSONSerializer)
    web.requeue_job = partial(web.requeue_job, serializer=queues.JSONSerializer)
    web.RedisConnectionError = ()
    return web


def partial_class(base: type, **defaults) -> type:
    """`base` with other defaults, also for its class methods."""

    class Ours(base):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **(defaults | kwargs))

        @classmethod
        def all(cls, *args, **kwargs):
            return base.all(*args, **(defaults | kwargs))

    return Ours


def _forgiving(base: type) -> type:
    """A queue that names what it cannot read: one spoilt entry must not hide its neighbours. `all` are ours, used yet or not."""

    class Forgiving(base):
        @classmethod
        def all(cls, connection):
            used = super().all(connection=connection)
            unused = set(queues.QUEUES) - {queue.name for queue in used}
            return used + [cls(name, connection=connection) for name in unused]

        def fetch_job(self, job_id):
            try:
                return super().fetch_job(job_id)
            except UNREADABLE:
                return Unreadable(job_id)

    return Forgiving


@dataclass
class Unreadable:
    """What the list of jobs shows in the place of an entry that is no job."""

    id: str
    description: str = "(this entry cannot be read)"
    created_at: None = None
    started_at: None = None
    ended_at: None = None

    def latest_result(self) -> None:
        return None


class Rewritten(PackageLoader):
    """rq-dashboard's templates: what Underscore puts in raw is put in escaped, and inline scripts carry the nonce."""

    def get_source(self, environment, template):
        source, *rest = super().get_source(environment, template)
        source = re.sub(r"\$\('<div/>'\)\.text\(([\w.]+)\)\.html\(\)", r"\1", source)
        source = source.replace("<%=", "<%-").replace("url_for('static'", "url_for('rq_dashboard.static'")
        source = source.replace('<script type="text/javascript">', '<script type="text/javascript" nonce="{{ nonce }}">')
        source = source.replace("<body>", '<body><p class="container pt-3"><a href="/inbox">← Frontdesk</a></p>')
        return source, *rest
