"""deploy/ says what the Procfile says: the same processes with the same commands, under systemd and in containers."""

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import fields, replace
from pathlib import Path

import pytest
from honcho.environ import parse_procfile

from frontdesk import processes, queues, redis_server
from frontdesk import settings as settings_module
from frontdesk.settings import ROOT, Settings
from frontdesk.store import database
from tests.test_backup import run

DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
KEYS = {entry.name.upper() for entry in fields(Settings)}


def in_production() -> dict[str, list[str]]:
    """The Procfile's processes and the arguments that Python gets."""
    lines = parse_procfile((ROOT / "Procfile").read_text()).processes
    split = {name: shlex.split(command) for name, command in lines.items() if name != "simulator"}
    assert all(words[:2] == ["bin/keep", "python"] for words in split.values())
    return {name: words[2:] for name, words in split.items()}


def unit(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in path.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_every_process_of_the_procfile_is_a_unit_with_its_command():
    units = {path.stem.removeprefix("frontdesk-"): shlex.split(unit(path)["ExecStart"][0]) for path in UNITS}
    assert units.pop("prepare") == ["/opt/frontdesk/bin/frontdesk", "prepare"]
    assert units == {name: ["/opt/frontdesk/.venv/bin/python", *words] for name, words in in_production().items()}


def test_bin_start_runs_what_lines_of_ones_own_the_procfile_has(settings):
    lines = parse_procfile((ROOT / "Procfile").read_text() + "\ndefault-gpu: env OLLAMA_HOST=http://gpu:11434 bin/keep python bin/worker default\n").processes
    assert processes.names(settings, lines)[:2] == ["redis", "web"] and processes.names(settings, lines)[-2:] == ["simulator", "default-gpu"]
    production = replace(settings, frontdesk_env="production", redis_url="redis://127.0.0.1")
    assert processes.names(production, lines) == ["web", "high", "default", "bulk", "scheduler", "default-gpu"]


def test_the_target_wants_every_unit_and_every_unit_is_part_of_it():
    target = unit(DEPLOY / "systemd" / "frontdesk.target")
    assert sorted(target["Wants"][0].split()) == [path.name for path in UNITS]
    for path in UNITS:
        assert unit(path)["PartOf"] == ["frontdesk.target"] and path.name.startswith("frontdesk-")


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_every_process_is_started_again_and_has_time_to_end(path):
    read = unit(path)
    if path.stem == "frontdesk-prepare":
        return
    assert read["Restart"] == ["always"] and read["StartLimitIntervalSec"] == ["0"] and read["KillMode"] == ["mixed"]
    assert int(read["TimeoutStopSec"][0]) > 5  # workers hand their work back within bin/keep's 4.4 s


def compose() -> dict[str, str]:
    """The text of each service of compose.yaml."""
    services = (DEPLOY / "compose.yaml").read_text().partition("\nservices:\n")[2].partition("\nvolumes:\n")[0]
    parts = re.split(r"^  (\w+):\n", services, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_compose_runs_every_process_of_the_procfile_with_its_command():
    for name, words in in_production().items():
        command = re.search(r"command: \[(.*)\]", compose()[name])[1]
        said = [word.strip().strip('"') for word in command.split(",")]
        assert said == ["python", *words] or name == "redis"
    assert "restart: unless-stopped" in (DEPLOY / "compose.yaml").read_text()


def test_every_container_has_a_health_check():
    for name, text in compose().items():
        assert "healthcheck" in text or name in ("web", "caddy"), name  # the image's own; Caddy's is that it serves
    assert "HEALTHCHECK" in (DEPLOY / "Dockerfile").read_text()


def test_no_secret_gets_into_the_image():
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split("\n")
    assert {".env", "data", ".git", ".venv"} <= set(ignored)


def test_the_container_s_environment_is_made_of_settings():
    named = re.findall(r"^    ([A-Z_]+): ", (DEPLOY / "compose.yaml").read_text(), re.MULTILINE)
    assert named and set(named) <= KEYS
    assert set(re.findall(r"\b([A-Z]+_[A-Z_]+)=", (DEPLOY / "Dockerfile").read_text())) <= KEYS | {"PIP_NO_CACHE_DIR"}


def test_the_env_file_that_install_sh_writes_is_good_once_the_secret_is_in_it(tmp_path):
    script = (DEPLOY / "install.sh").read_text()
    text = script.partition("<<EOF\n")[2].partition("\nEOF\n")[0]
    text = text.replace("$data", str(tmp_path / "data")).replace("$backups", str(tmp_path / "kept"))
    (tmp_path / ".env").write_text(text.replace("WHATSAPP_APP_SECRETS=", "WHATSAPP_APP_SECRETS=secret"))
    settings = settings_module.load({}, env_file=tmp_path / ".env")
    assert (settings.frontdesk_env, settings.trusted_proxies, settings.sqlite_synchronous) == ("production", 1, "full")
    assert set(re.findall(r"^([A-Z_]+)=", text, re.MULTILINE)) <= KEYS


def test_install_sh_is_a_script_that_refuses_what_it_cannot_do():
    assert subprocess.run(["sh", "-n", DEPLOY / "install.sh"]).returncode == 0
    refused = subprocess.run([DEPLOY / "install.sh", "no domain"], capture_output=True, text=True)
    assert refused.returncode == 2 and refused.stderr.startswith("frontdesk: ")


def checked(program: str, *arguments: str | Path, **options) -> str:
    """What a program says of a file that it takes. Skips where it is not installed."""
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    ran = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, **options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


@pytest.fixture
def installed_units(tmp_path):
    """As install.sh puts them where systemd looks, with the paths of this checkout."""
    for path in filter(Path.is_file, (DEPLOY / "systemd").rglob("*")):
        place = tmp_path / path.relative_to(DEPLOY / "systemd")
        place.parent.mkdir(exist_ok=True)
        place.write_text(path.read_text().replace("/opt/frontdesk", str(ROOT)))
    return tmp_path


def test_systemd_takes_the_units_without_a_word_and_finds_them_safe(installed_units):
    looks = {**os.environ, "SYSTEMD_UNIT_PATH": f"{installed_units}:"}
    units = sorted(path for path in installed_units.iterdir() if path.is_file())
    assert checked("systemd-analyze", "verify", "--man=no", *units, env=looks) == ""
    for path in units[:-1]:
        checked("systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", path, env=looks)  # 15: an exposure of 1.5 of 10


def test_caddy_takes_its_file():
    checked("caddy", "validate", "--adapter", "caddyfile", "--config", DEPLOY / "Caddyfile")


def test_a_linter_finds_nothing_in_the_scripts():
    checked("shellcheck", "--severity=warning", DEPLOY / "install.sh", *(ROOT / "bin" / name for name in ("frontdesk", "keep", "outdated", "setup", "start", "test")))


def test_a_linter_finds_nothing_in_the_dockerfile():
    checked("hadolint", DEPLOY / "Dockerfile")


def test_redis_syncs_each_write_where_bin_start_is_not_there_to_do_it():
    assert "REDIS_APPENDFSYNC=always" in unit(DEPLOY / "systemd" / "frontdesk-redis.service")["Environment"]


def test_redis_conf_is_taken_by_a_real_redis(tmp_path):
    binary = redis_server.find_redis()
    socket_path = tmp_path / "r.sock"
    options = ["--port", "0", "--dir", str(tmp_path), "--unixsocket", str(socket_path)]
    process = subprocess.Popen([binary, DEPLOY / "redis.conf", *options], stdout=subprocess.DEVNULL)
    try:
        while not redis_server.answers(socket_path):
            assert process.poll() is None
        facts = queues.redis_facts(queues.connect(f"unix://{socket_path}"))
        assert facts.appendonly and facts.appendfsync == "always" and facts.eviction_policy == "noeviction"
    finally:
        process.terminate()
        process.wait()


def test_outdated_names_our_own_packages_first_and_fails_nothing():
    listed = '[{"name":"anyio","version":"1","latest_version":"2"},{"name":"Flask","version":"3.0","latest_version":"3.1"},{"name":"not-ours","version":"1","latest_version":"2"}]'
    ran = subprocess.run([ROOT / "bin/outdated"], env={**os.environ, "OUTDATED_JSON": listed}, capture_output=True, text=True)
    first, second, last = ran.stdout.splitlines()
    assert ran.returncode == 0 and first == "Flask: 3.0 is locked, 3.1 is out" and second.startswith("anyio: ") and last.startswith("2 of ")


def test_prepare_brings_the_database_up_to_date_and_may_be_repeated(settings):
    first, second = run(settings, "prepare"), run(settings, "prepare")
    assert first.returncode == second.returncode == 0
    assert database.pending(settings) == [] and "/first-run/" in second.stdout


def test_alive_says_by_its_status_what_is_not(settings):
    for name in ("redis", "high", "scheduler"):
        said = run(settings, "alive", name)
        assert said.returncode == 2 and "Redis does not answer" in said.stderr
