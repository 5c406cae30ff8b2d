"""What came of documents, as lines of JSON and as a table."""

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

from frontdesk.store.document_batches import Batch
from frontdesk.store.documents import Task

JSON_LINES, CSV = "application/x-ndjson", "text/csv"


def as_lines(tasks: Iterable[Task]) -> str:
    return "".join(f"{_json(_item(task))}\n" for task in tasks)


def _item(task: Task) -> dict[str, Any]:
    item = {"position": task.position, "name": task.name, "task_id": task.public_id, "status": task.state}
    if task.state == "done":
        item["result"] = task.result
    if failure := failure_of(task):
        item["failure"] = failure
    return item


def failure_of(task: Task) -> dict[str, Any] | None:
    """`answers`: the model's own words, where they did not fit."""
    if task.state != "failed":
        return None
    return {"message": task.error or "", "answers": [_sound(one) for one in (task.first_answer, task.second_answer) if one is not None]}


def as_csv(batch: Batch, tasks: Iterable[Task]) -> str:
    columns = columns_of(batch)
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["position", "name", "task_id", "status", *map(_cell, columns), "error"])
    for task in tasks:
        result = task.result or {}
        error = task.error if task.state == "failed" else None
        row = [task.name, task.public_id, task.state, *(result.get(column) for column in columns), error]
        writer.writerow([task.position, *map(_cell, row)])
    return out.getvalue()


def columns_of(batch: Batch) -> list[str]:
    if batch.kind == "summary":
        return ["summary"]
    return ["category", "confidence"] if batch.kind == "classification" else list(batch.options["schema"]["properties"])


def _cell(value: Any) -> str:
    """As text that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return _json(value)
    text = _sound(value) if isinstance(value, str) else _json(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _json(value: Any) -> str:
    return _sound(json.dumps(value, ensure_ascii=False))


def _sound(text: str) -> str:
    """Half of a surrogate pair cannot be written as UTF-8."""
    return text.encode("utf-8", "replace").decode()
