"""What goes in and what comes out where documents are summarised, classified or extracted."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, StringConstraints, model_serializer

from frontdesk.flows.contents import words
from frontdesk.flows.documents import LARGEST_TEXT_BYTES, MOST_ITEMS
from frontdesk.web.api.models import In, Task

# Its bytes are counted later; this only keeps what is absurd away.
DocumentText = Annotated[str, StringConstraints(max_length=LARGEST_TEXT_BYTES)]
Name = Annotated[str, StringConstraints(max_length=300)]
Category = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Categories = Annotated[list[Category], Field(min_length=2, max_length=50)]
Model = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.:/-]{0,99}$")]
Bullets = Annotated[int, Field(ge=1, le=10)]

MODEL = Field(None, description="As Ollama calls it; else the client's, else the installation's for this kind of work. One that no server has is waited for, a day at most.")
CALLBACK = Field(None, description="Told when it is over, by a signed POST: at least once, tried for a day.")
TEXT = Field(None, description="Either this, or a file (text, PDF, DOCX, HTML) in the field `file` of a form.")


class Summarise(In):
    """A text, in bullet points."""

    text: DocumentText | None = TEXT
    bullets: Bullets = 3
    model: Model | None = MODEL
    callback_url: words(2000) | None = CALLBACK


class Classify(In):
    """Which category a text belongs to, judged by its first 2,000 characters."""

    text: DocumentText | None = TEXT
    categories: Categories | None = Field(None, description="Your own; else invoice, contract, report, email, other.")
    model: Model | None = MODEL
    callback_url: words(2000) | None = CALLBACK


class Extract(In):
    """The values that a JSON schema names, taken from a text."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, serialize_by_alias=True)

    text: DocumentText | None = TEXT
    schema_: dict[str, Any] = Field(alias="schema", description='A JSON schema (2020-12) of "type": "object", without patterns.')
    model: Model | None = MODEL
    callback_url: words(2000) | None = CALLBACK


class Item(In):
    text: DocumentText
    name: Name = Field("", description="Your own word for it; it comes back with the result.")


class MakeBatch(In):
    """The same work on many documents: `texts`, or `items` with names, or files in the field `file` of a form (also ZIP and CSV)."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, serialize_by_alias=True)

    kind: Literal["summary", "classification", "extraction"]
    texts: Annotated[list[DocumentText], Field(min_length=1, max_length=MOST_ITEMS)] | None = None
    items: Annotated[list[Item], Field(min_length=1, max_length=MOST_ITEMS)] | None = None
    bullets: Bullets | None = Field(None, description="Of summaries.")
    categories: Categories | None = Field(None, description="Of classifications.")
    schema_: dict[str, Any] | None = Field(None, alias="schema", description="Of extractions, which need one.")
    column: Name | None = Field(None, description="Which column of a CSV holds the text; not needed where it is called text.")
    name_column: Name | None = Field(None, description="Which column of a CSV holds the name; else it is the row's number.")
    model: Model | None = MODEL
    callback_url: words(2000) | None = CALLBACK


class Results(In):
    """`cursor`: the position of the last item that you have."""

    format: Literal["jsonl", "csv"] = "jsonl"
    category: Category | None = Field(None, description="Only items that were given this category.")
    cursor: Annotated[int, Field(ge=0, le=2**63 - 1)] = 0
    limit: Annotated[int, Field(ge=1, le=MOST_ITEMS)] = MOST_ITEMS


class DocumentFailure(BaseModel):
    """`answers`: the model's own words, where they did not fit the schema: the first, and the one to a second question."""

    message: str
    answers: list[str]


class DocumentTask(BaseModel):
    """One document. Times are UTC epoch seconds."""

    task_id: str
    kind: Literal["summary", "classification", "extraction"]
    status: Literal["queued", "working", "paused", "done", "failed", "cancelled"]
    name: str
    batch_id: str | None
    result: Any
    failure: DocumentFailure | None
    created_at: float
    started_at: float | None
    finished_at: float | None
    expires_at: float | None


class AnyTask(RootModel[Task | DocumentTask]):
    """A message's or a document's."""


class DocumentResult(BaseModel):
    """`result` of what is done, `failure` of what failed; else the status alone."""

    status: Literal["queued", "working", "paused", "done", "failed", "cancelled"]
    result: Any = None
    failure: DocumentFailure | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, serialise) -> dict[str, Any]:
        return {name: value for name, value in serialise(self).items() if value is not None}


class DocumentProgress(BaseModel):
    """A document's parts, or a batch's items. `eta_seconds` null: nothing is known yet to judge by."""

    current: int
    total: int
    percent: int
    eta_seconds: float | None


class BatchQueued(BaseModel):
    status: Literal["queued"] = "queued"
    batch_id: str
    items: int
    check_status: str = Field(description="The path that tells how far it is.")


class Batch(BaseModel):
    """`counts`: items by status. `status`: done when no item is left to do, also where some failed."""

    batch_id: str
    kind: Literal["summary", "classification", "extraction"]
    status: Literal["queued", "working", "paused", "done", "cancelled"]
    counts: dict[str, int]
    progress: DocumentProgress
    created_at: float
    expires_at: float
    results: str = Field(description="The path of the results; what is done can be had while it runs.")


class Changed(BaseModel):
    """`items`: how many it concerned."""

    batch_id: str
    items: int
