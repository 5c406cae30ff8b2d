"""What is wrong with this installation, and the mend, in words an operator can act on."""

from frontdesk.errors import ModelError
from frontdesk.ollama import Ollama
from frontdesk.settings import Settings


def model_notice(settings: Settings) -> str | None:
    """One line when no answers can come from the model, None when they can. Takes two seconds at most when Ollama is away."""
    ollama = Ollama(settings.ollama_host)
    if ollama.version() is None:
        return (
            f"No Ollama at {settings.ollama_host}: install it from ollama.com and run `ollama pull "
            f"{settings.ollama_model}`. Messages are kept, and answered when it is there."
        )
    try:
        names = ollama.model_names()
    except ModelError as error:
        return str(error)
    if not has_model(names, settings.ollama_model):
        return f"The model {settings.ollama_model} is not there yet; run `ollama pull {settings.ollama_model}`."
    return None


def has_model(names: list[str], model: str) -> bool:
    """Ollama lists `llama3.2:latest` for what is called `llama3.2`."""
    return model in names or f"{model}:latest" in names
