"""What answers HTTP: create_app(), the webhook's two routes, health. Pages and the API are blueprints of frontdesk/web.

Webhooks are taken by frontdesk/web/webhook.py before Flask sees them.
"""

import hmac
import logging

from flask import Flask, Response, jsonify, render_template, request
from werkzeug.exceptions import HTTPException

from frontdesk import queues
from frontdesk import settings as settings_module
from frontdesk.settings import Settings
from frontdesk.web import webhook

log = logging.getLogger(__name__)

# A webhook that Redis cannot take in this time is better refused: Meta sends it again.
REDIS_TIMEOUT_SECONDS = 3

CONTENT_POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


def create_app(settings: Settings | None = None) -> Flask:
    settings = settings or settings_module.load()
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = webhook.LARGEST_BODY_BYTES
    app.config["SECRET_KEY"] = settings.derived_secret("session cookies")
    connection = queues.connect(settings.redis_address, timeout_seconds=REDIS_TIMEOUT_SECONDS, retry=False)
    _add_webhook(app, settings, queues.Inbox(connection), queues.Queues(connection))
    _add_health(app, connection)
    _add_pages(app, settings)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _own_error)
    return app


def error_response(status: int, code: str, message: str, field: str | None = None) -> tuple[Response, int]:
    """The one shape of an error: {"error": {"code", "message", "field"?}}."""
    error = {"code": code, "message": message}
    if field:
        error["field"] = field
    return jsonify(error=error), status


def _add_webhook(app: Flask, settings: Settings, inbox: queues.Inbox, work: queues.Queues) -> None:
    app.wsgi_app = webhook.WebhookDoor(app.wsgi_app, settings.trusted_app_secrets, inbox, work)
    verify_token = settings.verify_token.encode()

    @app.get(webhook.PATH)
    def verify_webhook():
        """Meta's handshake: the token is ours, so the challenge goes back."""
        token = request.args.get("hub.verify_token", "").encode()
        if request.args.get("hub.mode") != "subscribe" or not hmac.compare_digest(token, verify_token):
            return error_response(403, "wrong_verify_token", "The verify token is not the one of this installation.")
        return Response(request.args.get("hub.challenge", ""), mimetype="text/plain")


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


def _add_pages(app: Flask, settings: Settings) -> None:
    if settings.development:
        from frontdesk.flows import diagnosis
        from frontdesk.web.simulator import simulator_pages

        app.register_blueprint(simulator_pages(settings.simulator_url, notice=lambda: diagnosis.notice(settings)))

    @app.get("/")
    def front_page():
        return render_template("front_page.html", development=settings.development)

    @app.after_request
    def keep_scripts_out(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        return response


def _http_error(error: HTTPException):
    code = (error.name or "error").lower().replace(" ", "_")
    return error_response(error.code or 500, code, error.description or error.name)


def _own_error(error: Exception):
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return error_response(500, "internal_error", "Something went wrong here; it was written to the log.")
