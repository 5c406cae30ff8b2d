"""The recipe as people write it: a campaign is a Celery group of one task a recipient (its rate limit of 100 a minute lifted)."""

import os

import requests
from celery import Celery, group

REDIS = os.environ["BENCH_REDIS"]

celery = Celery("campaign", broker=REDIS, backend=REDIS)
celery.conf.update(
    task_serializer="json",
    accept_content=["json"],
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)
_kept = {}


@celery.task(bind=True, max_retries=3)
def send(self, phone: str, name: str, order: str) -> None:
    http = _kept.setdefault("http", requests.Session())
    parameters = [{"type": "text", "text": name}, {"type": "text", "text": order}]
    template = {"name": "order_ready", "language": {"code": "en"}, "components": [{"type": "body", "parameters": parameters}]}
    body = {"messaging_product": "whatsapp", "to": phone, "type": "template", "template": template}
    answer = http.post(os.environ["BENCH_GRAPH"], json=body, headers={"Authorization": "Bearer simulator"}, timeout=30)
    if answer.status_code >= 500:
        raise self.retry(countdown=2**self.request.retries)
    answer.raise_for_status()


def queue(count: int, begins: int) -> None:
    group(send.s(f"49151{begins + n:08}", f"Customer {n}", str(n)) for n in range(count)).apply_async()
