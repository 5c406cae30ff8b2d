"""The simulator's process: one server with many threads on 127.0.0.1, for its state is in memory."""

from flask import Flask
from gunicorn.app.base import BaseApplication

from frontdesk.simulator.behaviour import Behaviour
from frontdesk.simulator.config import Config
from frontdesk.simulator.control import control_api
from frontdesk.simulator.graph import graph_api
from frontdesk.simulator.phone import phone_page
from frontdesk.simulator.record import Record
from frontdesk.simulator.webhooks import Webhooks

THREADS = 128
LARGEST_BODY_BYTES = 110 * 1024 * 1024


def create_app(config: Config) -> Flask:
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    app.json.sort_keys = False
    behaviour, record = Behaviour(), Record()
    webhooks = Webhooks(config, behaviour, record)
    app.register_blueprint(control_api(behaviour, record, webhooks))
    app.register_blueprint(phone_page(config))
    app.register_blueprint(graph_api(config, behaviour, record, webhooks))
    return app


class Server(BaseApplication):
    def __init__(self, config: Config):
        self._config = config
        super().__init__()

    def load_config(self) -> None:
        for name, value in {
            "bind": f"127.0.0.1:{self._config.port}",
            "worker_class": "gthread",
            "workers": 1,
            "threads": THREADS,
            "worker_connections": 2000,
            "keepalive": 75,
            "graceful_timeout": 1,
            "loglevel": "warning",
            "control_socket_disable": True,
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return create_app(self._config)


if __name__ == "__main__":
    Server(Config.from_environment()).run()
