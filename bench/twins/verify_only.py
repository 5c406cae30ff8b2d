"""The limit: a Flask app that verifies the signature and answers. Nothing that also keeps the message can be quicker."""

import hashlib
import hmac
import os

from flask import Flask, request

SECRET = os.environ["BENCH_SECRET"].encode()


def create_app() -> Flask:
    app = Flask(__name__)

    @app.post("/webhooks/whatsapp")
    def receive():
        made = hmac.new(SECRET, request.get_data(cache=False), hashlib.sha256).hexdigest()
        if not hmac.compare_digest("sha256=" + made, request.headers.get("X-Hub-Signature-256", "")):
            return "", 403
        return "ok"

    return app
