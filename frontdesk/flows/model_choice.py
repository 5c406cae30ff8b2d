"""Which model does a kind of work, at which Ollama server, and with what options: the settings' table, and what a client has of its own."""

from frontdesk.flows.context import Context
from frontdesk.ollama import ModelOptions, Ollama
from frontdesk.store import clients
from frontdesk.work_options import EMBEDDING, KINDS


def model_for(context: Context, kind: str, client_id: int | None, asked: str = "") -> str:
    """`asked`: the model that a request names itself, which goes before everything."""
    return asked or clients.model_for(context.db, client_id, kind, context.settings)


def server(context: Context, kind: str) -> Ollama:
    return context.ollama_at(context.settings.host_of(kind))


def options(
    context: Context, kind: str, model: str, *, num_predict: int, temperature: float | None = None, seed: int | None = None
) -> ModelOptions:
    """What is given here is what is usual for this kind of work; the settings go before it."""
    own = context.settings.options_of(kind)
    given = {"temperature": temperature if own.temperature is None else own.temperature, "keep_alive": own.keep_alive}
    return ModelOptions(
        model=model,
        num_ctx=loaded_ctx(context, kind, model),
        num_predict=own.num_predict or num_predict,
        seed=seed,
        share_ctx=context.settings.num_ctx_of(kind),
        **{name: value for name, value in given.items() if value is not None},
    )


def loaded_ctx(context: Context, kind: str, model: str) -> int:
    """Ollama loads a model again when its context changes, so a model has one for all: the largest that any of its work asks for."""
    wanted = {each: context.settings.num_ctx_of(each) for each in {*KINDS, kind} - {EMBEDDING}}
    if len(set(wanted.values())) == 1:
        return wanted[kind]
    used = clients.models_by_kind(context.db, context.settings)
    return max(num_ctx for each, num_ctx in wanted.items() if each == kind or model in used.get(each, ()))
