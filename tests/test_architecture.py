"""DESIGN in force: imports point down only, SQL and Redis each have one home, every job's name leads to a function."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OURS = sorted(
    path
    for path in [*ROOT.glob("*.py"), *(ROOT / "frontdesk").rglob("*.py"), ROOT / "bin" / "worker"]
    if path.name != "conftest.py"
)

# Which layer a module is of; it may import from lower ones, and from its own where that is marked.
LAYERS = [
    ("frontdesk.errors", -1),
    ("frontdesk.settings", 0),
    ("frontdesk.histogram", 0),
    ("frontdesk.work_options", -1),
    ("frontdesk.strict_json", -1),
    ("frontdesk.logs", 0.5),
    ("frontdesk.redis_server", 1),
    ("frontdesk.public_addresses", 0),
    ("frontdesk.fetch", 1),
    ("frontdesk.channels", 1),
    ("frontdesk.store", 1),
    ("frontdesk.ollama_loop", 0),
    ("frontdesk.ollama", 1),
    ("frontdesk.queues", 1),
    ("frontdesk.flows", 2),
    ("frontdesk.web", 3),
    ("frontdesk.processes", 3),
    ("frontdesk.cli", 5),
    ("frontdesk.__main__", 6),
    ("chatbot", 4),
    ("jobs", 4),
    ("scheduler", 4),
    ("bin.worker", 5),
    ("gunicorn.conf", 5),
]

# The store writes what channels define, the one way between siblings.
ALLOWED_SIBLINGS = {("frontdesk.store", "frontdesk.channels")}


def module_name(path: Path) -> str:
    relative = path.relative_to(ROOT).with_suffix("")
    return ".".join(relative.parts).removesuffix(".__init__")


def layer_of(name: str) -> tuple[str, int] | None:
    for prefix, level in LAYERS:
        if name == prefix or name.startswith(prefix + "."):
            return prefix, level
    return None


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", OURS, ids=module_name)
def test_imports_point_down(path):
    name = module_name(path)
    if name == "frontdesk" or name.startswith("frontdesk.simulator"):
        return
    own = layer_of(name)
    assert own, f"{name} has no layer"
    for imported in imports(path):
        if imported.startswith("frontdesk.simulator"):
            pytest.fail(f"{name} knows the simulator other than over HTTP")
        other = layer_of(imported)
        if other is None or other[0] == own[0] or (own[0], other[0]) in ALLOWED_SIBLINGS:
            continue
        assert other[1] < own[1], f"{name} imports {imported}"


@pytest.mark.parametrize("path", sorted((ROOT / "frontdesk/simulator").rglob("*.py")), ids=module_name)
def test_the_simulator_knows_frontdesk_only_through_http(path):
    foreign = {name for name in imports(path) if name.startswith("frontdesk") and not name.startswith("frontdesk.simulator")}
    assert not foreign


@pytest.mark.parametrize("path", OURS, ids=module_name)
def test_each_library_has_its_home(path):
    name = module_name(path)
    roots = {imported.split(".")[0] for imported in imports(path)}
    if not name.startswith(("chatbot", "frontdesk.web", "frontdesk.cli", "frontdesk.simulator")):
        assert "flask" not in roots
    if not name.startswith("frontdesk.queues") and name not in ("jobs", "scheduler", "chatbot", "bin.worker", "frontdesk.cli.start"):
        assert not roots & {"redis", "rq", "rq_scheduler"}
    if name != "bin.worker" and not name.startswith("frontdesk.ollama"):
        assert "ollama" not in roots
    if name == "jobs":
        assert "chatbot" not in roots


@pytest.mark.parametrize("path", OURS, ids=module_name)
def test_sql_is_written_in_the_store_alone(path):
    if module_name(path).startswith("frontdesk.store"):
        return
    assert not re.search(r"\b(SELECT .+ FROM|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b", path.read_text(), re.DOTALL)


def test_every_job_that_is_enqueued_by_name_exists():
    import jobs

    named = {
        name for path in OURS for name in re.findall(r'"jobs\.(\w+)"', path.read_text()) if module_name(path) != "jobs"
    }
    assert named >= {"drain", "reply", "send", "sweep", "warm_up", "clean"}
    for name in named:
        assert callable(getattr(jobs, name)), name


def test_workers_load_no_library_that_only_pages_need():
    heavy = {"flask", "pydantic", "jsonschema", "phonenumbers", "pypdf", "mammoth", "sqlite_vec", "prometheus_client"}
    code = f"import sys, jobs; print(*({heavy!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.split() == []
