"""The recipe of many articles: Flask, SET NX against duplicates, one RQ `enqueue` for each webhook."""

import hashlib
import hmac
import os

import redis
from flask import Flask, request
from rq import Queue
from rq.serializers import JSONSerializer

SECRET = os.environ["BENCH_SECRET"].encode()


def create_app() -> Flask:
    app = Flask(__name__)
    connection = redis.Redis.from_url(os.environ["BENCH_REDIS"])
    queue = Queue("whatsapp", connection=connection, serializer=JSONSerializer)

    @app.post("/webhooks/whatsapp")
    def receive():
        body = request.get_data()
        made = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest("sha256=" + made, request.headers.get("X-Hub-Signature-256", "")):
            return "", 403
        for entry in request.get_json()["entry"]:
            for change in entry["changes"]:
                for message in change["value"].get("messages", []):
                    if connection.set(f"seen:{message['id']}", 1, nx=True, ex=86400):
                        queue.enqueue("twins.flask_rq.process", message["from"], message["text"]["body"], result_ttl=300)
        return "ok"

    return app


def process(sender: str, text: str) -> None:
    """What a worker would do; the acknowledgement is what is measured."""
