"""What answers HTTP: create_app(), the webhook's two routes, health. Pages and the API are blueprints of frontdesk/web.

Webhooks are taken by frontdesk/web/webhook.py before Flask sees them.
"""

import hmac
import logging

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from frontdesk import queues
from frontdesk import settings as settings_module
from frontdesk.flows import logging_in, webhook_address
from frontdesk.flows.context import Context, make as make_context
from frontdesk.settings import Settings
from frontdesk.web import access, add_desk, assets, errors, webhook
from frontdesk.web.widget_stream import StreamDoor
from frontdesk.web.errors import error_response

log = logging.getLogger(__name__)

# A webhook that Redis cannot take in this time is better refused: Meta sends it again.
REDIS_TIMEOUT_SECONDS = 3

# A page that must write while another process holds the database gives up after this time.
PAGE_BUSY_SECONDS = 3

CONTENT_POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


def create_app(settings: Settings | None = None) -> Flask:
    settings = settings or settings_module.load()
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = webhook.LARGEST_BODY_BYTES
    app.config["SECRET_KEY"] = settings.derived_secret("session cookies")  # of flashes only: log-ins are rows
    app.config["SESSION_COOKIE_NAME"] = "frontdesk_flashes"
    app.config["SESSION_COOKIE_SAMESITE"] = "Lax"
    app.config["SESSION_COOKIE_SECURE"] = not settings.development
    connection = queues.connect(settings.redis_address, timeout_seconds=REDIS_TIMEOUT_SECONDS, retry=False)
    context = make_context(settings, connection, busy_seconds=PAGE_BUSY_SECONDS)
    app.wsgi_app = StreamDoor(app.wsgi_app, context)
    _believe_proxies(app, settings.trusted_proxies)
    _add_webhook(app, settings, context)
    _add_health(app, connection)
    _add_pages(app, settings, context)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _own_error)
    return app


def _believe_proxies(app: Flask, count: int) -> None:
    """Only so many hops of X-Forwarded-For and -Proto: with more, a visitor could write their own address."""
    if count:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=0)


def _add_webhook(app: Flask, settings: Settings, context: Context) -> None:
    app.wsgi_app = webhook.WebhookDoor(
        app.wsgi_app,
        settings.trusted_app_secrets,
        webhook_address.key(settings),
        context.inbox,
        context.queues,
        context.acknowledgements,
        settings.web_threads,
        settings.trusted_proxies,
    )
    verify_token = settings.verify_token.encode()

    @app.get(webhook.PATH)
    def verify_webhook():
        """Meta's handshake: the token is ours, so the challenge goes back."""
        token = request.args.get("hub.verify_token", "").encode()
        if request.args.get("hub.mode") != "subscribe" or not hmac.compare_digest(token, verify_token):
            return _unverified(context)
        return Response(request.args.get("hub.challenge", ""), mimetype="text/plain")


def _unverified(context: Context):
    try:
        logging_in.count_attempt(context, "handshake", request.remote_addr or "unknown")
    except logging_in.TooManyAttempts:
        return error_response(429, "too_many_requests", "Too many wrong verify tokens come from this address.")
    return error_response(403, "wrong_verify_token", "The verify token is not the one of this installation.")


def _add_health(app: Flask, connection) -> None:
    @app.get("/health")
    def health():
        """The process is up."""
        return jsonify(status="ok")

    @app.get("/ready")
    def ready():
        """A webhook could be acknowledged now: Redis takes writes."""
        try:
            connection.set("ready:probe", 1, ex=60)
        except queues.RedisError as error:
            return error_response(503, "not_ready", f"Redis takes no writes ({type(error).__name__}).")
        return jsonify(status="ready")


def _add_pages(app: Flask, settings: Settings, context: Context) -> None:
    if settings.development:
        from frontdesk.flows import diagnosis
        from frontdesk.web.simulator import simulator_pages

        app.register_blueprint(simulator_pages(settings.simulator_url, notice=lambda: diagnosis.notice(settings)))

    add_desk(app, context)

    @app.after_request
    def keep_scripts_out(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        response.headers.setdefault("Referrer-Policy", "same-origin")
        if request.is_secure:
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        return assets.finish(response, app.static_folder) if request.endpoint == "static" else response


def _http_error(error: HTTPException):
    if errors.is_for_people():
        return access.lost(error)
    code = (error.name or "error").lower().replace(" ", "_")
    return error_response(error.code or 500, code, error.description or error.name)


def _own_error(error: Exception):
    log.error("%s %s failed", request.method, errors.place(), exc_info=error)
    return error_response(500, "internal_error", "Something went wrong here; it was written to the log.")
