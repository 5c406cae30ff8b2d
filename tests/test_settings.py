"""Settings: every refusal names the key, what it got and what it wants; secrets are made once and never shown."""

import multiprocessing
import os
import stat
from dataclasses import fields

import pytest

from frontdesk import settings as settings_module
from frontdesk.errors import SettingsError
from frontdesk.settings import ROOT, Settings

ENTRIES = {entry.name.upper(): entry for entry in fields(Settings)}
PRODUCTION = {"FRONTDESK_ENV": "production", "WHATSAPP_APP_SECRETS": "an app secret"}


@pytest.fixture
def load(tmp_path):
    """Settings from these values alone; `env_file` is the text of a .env."""

    def load(env_file: str | bytes = "", **values) -> Settings:
        path = tmp_path / ".env"
        path.write_bytes(env_file if isinstance(env_file, bytes) else env_file.encode())
        return settings_module.load({"DATA_DIR": str(tmp_path / "data"), **values}, env_file=path)

    return load


def refusal(load, **values) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        load(**values)
    return caught.value


# --- refusals ----------------------------------------------------------------------------------------------------

WRONG = {
    "FRONTDESK_ENV": "prod",
    "DATA_DIR": "~nobody-of-this-name/data",
    "SECRET_KEY": "too short to be one",
    "LOG_LEVEL": "loud",
    "LOG_FORMAT": "xml",
    "SENTRY_DSN": "ftp://key@sentry.example/1",
    "WEB_PORT": "0",
    "WEB_WORKERS": "two",
    "WEB_THREADS": "1.5",
    "TRUSTED_PROXIES": "-1",
    "SIMULATOR_PORT": "65536",
    "REDIS_URL": "127.0.0.1:6379",
    "REDIS_APPENDFSYNC": "no",
    "SQLITE_SYNCHRONOUS": "off",
    "GRAPH_URL": "ftp://graph.example",
    "GRAPH_VERSION": "25",
    "GRAPH_TIMEOUT_SECONDS": "0",
    "OLLAMA_HOST": "http://:11434",
    "OLLAMA_MODEL_SUMMARY": "a model",
    "OLLAMA_MODEL_CLASSIFICATION": "-m",
    "OLLAMA_MODEL_EXTRACTION": "m\nn",
    "OLLAMA_OPTIONS_REPLY": "num_ctx=4096",
    "OLLAMA_OPTIONS_SUMMARY": "nmu_ctx=4096",
    "OLLAMA_OPTIONS_CLASSIFICATION": "temperature=hot",
    "OLLAMA_OPTIONS_EXTRACTION": "num_predict=400 num_predict=500",
    "OLLAMA_OPTIONS_EMBEDDING": "keep_alive=soon",
    "OLLAMA_NUM_CTX": "1",
    "OLLAMA_NUM_PREDICT": "-1",
    "OLLAMA_TIMEOUT_SECONDS": "nan",
    "OLLAMA_LOAD_TIMEOUT_SECONDS": "inf",
    "DOCUMENT_TIMEOUT_SECONDS": "0",
    "DOCUMENT_KEPT_HOURS": "0",
    "BATCH_KEPT_DAYS": "0",
    "QUIET_SECONDS": "-1",
    "LONGEST_WAIT_SECONDS": "601",
    "STALE_AFTER_MINUTES": "0",
    "PATIENCE_SECONDS": "soon",
    "ANSWER_AFTER_HOLDING": "perhaps",
    "EARLY_START": "perhaps",
    "FETCH_PRIVATE_ADDRESSES": "some",
    "MEDIA_KEEP_DAYS": "0",
    "FILE_WAIT_SECONDS": "601",
    "TRANSCRIPTION_URL": "ftp://speech.example",
    "TRANSCRIPTION_TIMEOUT_SECONDS": "0",
    "SEND_RETRY_SECONDS": "10,,60",
    "UNKNOWN_WAIT_SECONDS": "0",
    "LEASE_SECONDS": "1",
    "SWEEP_SECONDS": "0",
    "SEND_THREADS": "129",
    "BACKUP_DIR": "~nobody-of-this-name/backups",
    "BACKUP_KEEP": "0",
    "MESSAGES_KEEP_DAYS": "3",
    "CLOSED_KEEP_DAYS": "soon",
    "AUDIT_KEEP_DAYS": "7",
    "ERASURES_KEEP_DAYS": "0",
    "ALERT_WEBHOOK_URL": "ftp://alerts.example",
    "ALERT_WHATSAPP": "+4915112345678",
    "CANARY_MINUTES": "0.5",
    "CANARY_URL": "ftp://desk.example",
    "CANARY_PING_URL": "ftp://guard.example",
}
TAKES_ANY_TEXT = {"WEB_HOST", "WHATSAPP_APP_SECRETS", "WHATSAPP_VERIFY_TOKEN", "OLLAMA_MODEL", "OLLAMA_EMBED_MODEL", "METRICS_TOKEN", "TRANSCRIPTION_MODEL",
                  "TRANSCRIPTION_TOKEN", "WHISPER_MODEL"}  # fmt: skip


def test_every_setting_that_can_be_wrong_is_tried_here():
    assert set(WRONG) | TAKES_ANY_TEXT == set(ENTRIES), "add the new setting to WRONG with a value it refuses"


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_value_is_refused_with_its_key_what_it_got_and_what_it_wants(load, key):
    error = refusal(load, **{key: WRONG[key]})
    assert error.key == key
    assert error.wants == ENTRIES[key].metadata["read"].wants
    if not ENTRIES[key].metadata["secret"]:
        assert error.got == repr(WRONG[key])
    assert str(error) == f"{key} is {error.got}; it wants {error.wants}"
    assert "\n" not in str(error)


@pytest.mark.parametrize("raw", ["nan", "inf", "-1", "10;60", "10,x"])
def test_delays_must_be_seconds(load, raw):
    assert refusal(load, SEND_RETRY_SECONDS=raw).key == "SEND_RETRY_SECONDS"


def test_the_longest_wait_may_not_be_under_the_quiet_period(load):
    error = refusal(load, QUIET_SECONDS="5", LONGEST_WAIT_SECONDS="4")
    assert str(error) == "LONGEST_WAIT_SECONDS is 4; it wants at least QUIET_SECONDS, which it bounds"


def test_two_servers_may_not_share_a_port(load):
    error = refusal(load, WEB_PORT="8001")
    assert str(error) == "SIMULATOR_PORT is 8001, as WEB_PORT is; it wants a port of its own"
    assert load(WEB_PORT="8001", **PRODUCTION).web_port == 8001


def test_production_asks_for_the_app_secret(load):
    error = refusal(load, FRONTDESK_ENV="production")
    assert error.key == "WHATSAPP_APP_SECRETS" and error.got == "empty"
    assert refusal(load, FRONTDESK_ENV="production", WHATSAPP_APP_SECRETS=" , ").key == "WHATSAPP_APP_SECRETS"
    assert not load(**PRODUCTION).development


def test_an_env_file_that_cannot_be_read_is_refused(load):
    error = refusal(load, env_file=b"WEB_PORT=\xff\n")
    assert error.key == ".env" and "(not UTF-8)" in error.got


# --- where values come from --------------------------------------------------------------------------------------


def test_every_default_is_a_value_that_is_taken(load):
    settings = load()
    assert (settings.web_host, settings.web_port, settings.development) == ("127.0.0.1", 8000, True)
    assert settings.send_retry_seconds == (10.0, 60.0, 300.0)
    assert settings.ollama_host == "http://127.0.0.1:11434"


def test_the_environment_wins_over_the_file(load):
    assert load("WEB_PORT=8005\nWEB_THREADS=4\n", WEB_PORT="8006").web_port == 8006
    assert load("WEB_PORT=8005\nWEB_THREADS=4\n", WEB_PORT="8006").web_threads == 4


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_value_is_none_at_all(load, empty):
    assert load("WEB_PORT=8005", WEB_PORT=empty).web_port == 8005
    assert load(f"WEB_PORT={empty}").web_port == 8000


def test_a_file_from_a_windows_editor_is_read_from_its_first_line(load):
    assert load(b"\xef\xbb\xbfWEB_PORT=8005\r\nWEB_THREADS=4\r\n").web_port == 8005


def test_the_file_does_not_expand_what_looks_like_a_variable(load):
    assert load("WHATSAPP_VERIFY_TOKEN=a${HOME}b").verify_token == "a${HOME}b"


def test_words_are_taken_in_any_case(load):
    settings = load(LOG_LEVEL="DEBUG", ANSWER_AFTER_HOLDING="No")
    assert (settings.log_level, settings.answer_after_holding) == ("debug", False)


def test_a_relative_folder_lies_in_the_checkout_wherever_one_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = settings_module.load({"DATA_DIR": "data", "SECRET_KEY": "k" * 32}, env_file=tmp_path / "none")
    assert settings.data_dir == (ROOT / "data").resolve()


@pytest.mark.parametrize(
    "raw, address",
    [
        ("gpu", "http://gpu:11434"),
        ("http://gpu/", "http://gpu:11434"),
        ("gpu:1234", "http://gpu:1234"),
        ("https://gpu.example", "https://gpu.example"),
        ("http://gpu/ollama", "http://gpu:11434/ollama"),
    ],
)
def test_the_ollama_address_is_completed(load, raw, address):
    assert load(OLLAMA_HOST=raw).ollama_host == address


def test_what_is_said_of_a_kind_of_work_is_read_and_written_back_alike(load):
    line = "temperature=0.2, num_ctx=8192, num_predict=500, keep_alive=10m, host=http://gpu:11434"
    settings = load(OLLAMA_OPTIONS_SUMMARY="temperature=0.2 num_ctx=8192,num_predict=500  keep_alive=10m, host=gpu", OLLAMA_MODEL_SUMMARY="qwen3:4b")
    assert settings_module.written(settings, False)["OLLAMA_OPTIONS_SUMMARY"] == line
    assert load(OLLAMA_OPTIONS_SUMMARY=line).options_of("summary") == settings.options_of("summary")
    assert (settings.model_of("summary"), settings.num_ctx_of("summary"), settings.host_of("summary")) == ("qwen3:4b", 8192, "http://gpu:11434")
    assert (settings.model_of("extraction"), settings.num_ctx_of("extraction")) == ("llama3.2:3b", 4096)
    assert settings.host_of("extraction") == settings.ollama_host
    assert str(load(OLLAMA_OPTIONS_REPLY="keep_alive=-1").options_of("reply")) == "keep_alive=-1"


def test_a_redis_of_our_own_listens_in_the_data_folder(tmp_path):
    settings = settings_module.load({"DATA_DIR": "/d", "SECRET_KEY": "k" * 32}, env_file=tmp_path / "none")
    assert settings.redis_address == "unix:///d/redis.sock"


def test_a_data_folder_too_deep_for_a_socket_gets_a_short_one_of_its_own(tmp_path):
    def socket_of(folder):
        return settings_module.load({"DATA_DIR": folder, "SECRET_KEY": "k" * 32}, env_file=tmp_path / "none").redis_socket

    deep = "/" + "d" * 120
    assert len(os.fsencode(socket_of(deep))) < 100
    assert socket_of(deep) == socket_of(deep) != socket_of(deep + "e")


def test_a_whisper_model_must_be_a_folder_and_its_package_there(load, tmp_path, monkeypatch):
    assert "pip install faster-whisper" in str(refusal(load, WHISPER_MODEL=str(tmp_path)))
    assert load(WHISPER_MODEL=str(tmp_path), TRANSCRIPTION_URL="http://127.0.0.1:9").transcription_url
    (tmp_path / "faster_whisper.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert load(WHISPER_MODEL=str(tmp_path)).whisper_model == str(tmp_path)
    assert refusal(load, WHISPER_MODEL="small").key == "WHISPER_MODEL"


# --- secrets ------------------------------------------------------------------------------------------------------

SECRETS = {
    "SECRET_KEY": "opensesame" * 4,
    "WHATSAPP_APP_SECRETS": "opensesame,another",
    "WHATSAPP_VERIFY_TOKEN": "opensesame",
    "REDIS_URL": "redis://:opensesame@10.0.0.1",
    "METRICS_TOKEN": "opensesame",
    "TRANSCRIPTION_TOKEN": "opensesame",
    "SENTRY_DSN": "https://opensesame@sentry.example/1",
    "ALERT_WEBHOOK_URL": "https://alerts.example/?key=opensesame",
    "CANARY_PING_URL": "https://guard.example/opensesame",
}


def test_no_secret_is_in_the_representation(load):
    assert {key for key, entry in ENTRIES.items() if entry.metadata["secret"]} == set(SECRETS)
    assert "opensesame" not in repr(load(**SECRETS))


@pytest.mark.parametrize("key, raw", [("SECRET_KEY", "opensesame"), ("REDIS_URL", "http://:opensesame@10.0.0.1")])
def test_no_secret_is_in_a_refusal(load, key, raw):
    error = refusal(load, **{key: raw})
    assert error.key == key
    assert "opensesame" not in str(error) and f"{len(raw)} characters, not shown" in str(error)


def test_the_secret_key_is_made_once_for_its_owner_only(load, tmp_path):
    first = load().secret_key
    assert len(first) == 64 and load().secret_key == first
    path = tmp_path / "data/secret_key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0
    assert [entry.name for entry in path.parent.iterdir()] == ["secret_key"]


def test_a_secret_key_of_ones_own_is_not_written_down(load, tmp_path):
    assert load(SECRET_KEY="k" * 32).secret_key == "k" * 32
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("kept", [b"", b"cut", b"\xff" * 64])
def test_a_broken_secret_key_is_refused_and_kept(load, tmp_path, kept):
    load()
    (tmp_path / "data/secret_key").write_bytes(kept)
    error = refusal(load)
    assert error.key == "SECRET_KEY" and str(tmp_path / "data/secret_key") in str(error)
    assert (tmp_path / "data/secret_key").read_bytes() == kept


def _key_of(folder, barrier, keys):
    barrier.wait()
    keys.put(settings_module.load({"DATA_DIR": folder}, env_file=None).secret_key)


def test_processes_that_start_together_get_one_key(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier, keys = context.Barrier(8), context.Queue()
    racers = [context.Process(target=_key_of, args=(str(tmp_path / "data"), barrier, keys)) for _ in range(8)]
    for racer in racers:
        racer.start()
    got = {keys.get(timeout=20) for _ in racers}
    for racer in racers:
        racer.join(20)
    assert len(got) == 1


def test_a_folder_nobody_may_write_to_is_refused(load):
    error = refusal(load, DATA_DIR="/proc/frontdesk")
    assert error.key == "DATA_DIR" and error.wants == "a folder this user may write to"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder away")
def test_root_leaves_the_folder_of_a_service_s_user_alone(load, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, 64123, -1)
    error = refusal(load)
    assert error.key == "DATA_DIR" and "belongs to #64123" in error.got and "runuser -u #64123" in error.wants
    assert not list(folder.iterdir())


def test_only_development_trusts_the_simulator(load):
    developing, live = load(WHATSAPP_APP_SECRETS="a, b"), load(**PRODUCTION)
    assert developing.trusted_app_secrets == ("a", "b", developing.simulator_app_secret)
    assert live.trusted_app_secrets == ("an app secret",)


def test_a_derived_secret_is_the_same_as_long_as_the_key_is(load):
    settings, other = load(SECRET_KEY="k" * 32), load(SECRET_KEY="l" * 32)
    assert settings.derived_secret("a") == load(SECRET_KEY="k" * 32).derived_secret("a")
    assert len({settings.derived_secret("a"), settings.derived_secret("b"), other.derived_secret("a")}) == 3


def test_who_is_told_by_whatsapp_is_a_phone_a_template_and_a_number_if_wanted(load):
    assert load(ALERT_WHATSAPP="+4915112345678  house_alert/pt_BR").alert_whatsapp == "4915112345678 house_alert/pt_BR"
    assert load(ALERT_WHATSAPP="4915112345678 house_alert/en 10654").alert_whatsapp.split()[2] == "10654"
    for wrong in ("house_alert/en", "491511 house_alert/en", "4915112345678 house_alert", "4915112345678 a/en 1 2"):
        assert refusal(load, ALERT_WHATSAPP=wrong).key == "ALERT_WHATSAPP"


def test_a_verify_token_is_made_when_none_is_set(load):
    assert load().verify_token == load().verify_token
    assert load(WHATSAPP_VERIFY_TOKEN="mine").verify_token == "mine"
