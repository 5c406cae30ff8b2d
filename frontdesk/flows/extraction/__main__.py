"""The process that reads one file: KIND PATH MEMORY_BYTES CPU_SECONDS. Tells what it finds as JSON lines and trusts nothing."""

import json
import resource
import sys
import warnings
from importlib import import_module

from frontdesk.flows.extraction import Unreadable

READERS = {"text": "plain", "markdown": "markup", "html": "markup", "pdf": "pdf", "docx": "docx", "questions": "questions"}


def main() -> None:
    kind, path, memory_bytes, cpu_seconds = sys.argv[1:]
    _limit(int(memory_bytes), int(cpu_seconds))
    warnings.simplefilter("ignore")
    try:
        import_module(f"frontdesk.flows.extraction.{READERS[kind]}").read(path, kind, tell)
        tell(end=True)
    except MemoryError:
        tell(error="reading it takes more memory than it may; split it or save it anew")
    except RecursionError:
        tell(error="it is nested too deeply to be read; open it, save it anew and try that file")
    except Unreadable as unreadable:
        tell(error=str(unreadable))
    except Exception as error:  # whatever a library makes of a broken file
        tell(error=f"its contents are broken ({type(error).__name__}); open it, save it anew and try that file")


def tell(**what) -> None:
    line = json.dumps(what, ensure_ascii=True) + "\n"
    sys.stdout.write(line)
    sys.stdout.flush()


def _limit(memory_bytes: int, cpu_seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
