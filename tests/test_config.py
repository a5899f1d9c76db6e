"""Settings from flags, variables and a file; the judge is the table of what the documentation promises."""

from pathlib import Path

import pytest

from penstock import _core
from penstock.config import Settings, load_settings, unknown_variables
from penstock.errors import ConfigError


def write(folder: Path, text: str) -> str:
    path = folder / "penstock.toml"
    path.write_text(text)
    return str(path)


def test_a_flag_beats_a_variable_beats_the_file_beats_the_default(tmp_path: Path) -> None:
    file = write(tmp_path, 'port = 1001\nmax-num-seqs = 11\nmax_model_len = 111\nhost = "10.0.0.1"\n')
    environ = {"PENSTOCK_PORT": "1002", "PENSTOCK_MAX_NUM_SEQS": "12", "PENSTOCK_CONFIG": file}
    settings = load_settings({"port": "1003", "host": None}, environ)
    assert (settings.port, settings.max_num_seqs, settings.max_model_len) == (1003, 12, 111)
    assert (settings.host, settings.drain_timeout_s) == ("10.0.0.1", 30)


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [("512", 512), ("10M", 10 << 20), ("2G", 2 << 30), ("1.5K", 1536), ("3 GiB", 3 << 30), ("1tb", 1 << 40)],
)
def test_sizes_are_powers_of_1024(text: str, num_bytes: int) -> None:
    assert load_settings({"kv_cache_memory": text}, {}).kv_cache_memory == num_bytes


@pytest.mark.parametrize(
    ("flags", "environ", "sentence"),
    [
        ({"port": "http"}, {}, "--port http should be a valid integer."),
        ({"max_num_seqs": "0"}, {}, "--max-num-seqs 0 should be greater than or equal to 1."),
        ({}, {"PENSTOCK_PORT": "99999"}, "PENSTOCK_PORT 99999 should be less than or equal to 65535."),
        ({}, {"PENSTOCK_ENGINE": "vllm"}, "PENSTOCK_ENGINE vllm should be 'jax' or 'echo'."),
        ({"max_header_count": "200"}, {}, "--max-header-count 200 should be less than or equal to 100."),
        ({"request_timeout_s": "nan"}, {}, "--request-timeout-s nan should be a finite number."),
        ({"max_request_size": "10Q"}, {}, "--max-request-size 10Q should be a valid integer or a size like 10M or 2G."),
        ({}, {"PENSTOCK_API_KEY": ""}, "PENSTOCK_API_KEY is empty: give it a key, or unset it"),
        ({"api_key": [""]}, {}, "--api-key should be 1 to 1024 visible ASCII characters."),
    ],
)
def test_a_refusal_names_source_value_and_expectation(flags: dict, environ: dict, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings(flags, environ)
    assert str(refused.value).startswith(sentence)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("max-num-seq = 3", "has 'max-num-seq', which is no setting; did you mean 'max_num_seqs'?"),
        ("port = ", "is not TOML"),
        ("port = true", "port in "),
        ("[server]\nport = 1", "has 'server', which is no setting."),
    ],
)
def test_a_bad_file_is_refused_by_its_name(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings({"config": write(tmp_path, text)}, {})
    assert part in str(refused.value)
    assert "penstock.toml" in str(refused.value)


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Cannot read the settings file /nowhere\.toml: No such file"):
        load_settings({"config": "/nowhere.toml"}, {})


def test_lists_come_repeated_or_with_commas(tmp_path: Path) -> None:
    assert load_settings({"cors_origin": ["a", "b"]}, {"PENSTOCK_CORS_ORIGIN": "c"}).cors_origin == ["a", "b"]
    assert load_settings({}, {"PENSTOCK_CORS_ORIGIN": "http://a, http://b,"}).cors_origin == ["http://a", "http://b"]
    assert load_settings({"config": write(tmp_path, 'cors-origin = "http://a"')}, {}).cors_origin == ["http://a"]


def test_an_empty_variable_counts_as_unset() -> None:
    assert load_settings({}, {"PENSTOCK_MODEL": "", "PENSTOCK_PORT": ""}) == Settings()


def test_secrets_are_never_shown() -> None:
    settings = load_settings({"api_key": ["sk-hush"]}, {})
    assert "hush" not in repr(settings) + str(settings) + settings.model_dump_json()
    with pytest.raises(ConfigError) as refused:
        load_settings({"api_key": ["sk-hush\n"]}, {})
    assert "hush" not in str(refused.value)


def test_handed_on_settings_come_back_whole() -> None:
    settings = load_settings({"api_key": ["k1", "k2"], "model": "/m", "kv_cache_memory": "2G"}, {})
    assert Settings.from_json(settings.to_json()) == settings


def test_a_keys_id_is_its_place_and_outlives_the_key() -> None:
    old, new = (load_settings({"api_key": ["one", key]}, {}).api_key for key in ("two", "too"))
    assert [key.id for key in old] == [key.id for key in new] == ["key_1", "key_2"]
    assert old[1].digest != new[1].digest
    assert bytes.fromhex(old[1].digest) == _core.key_digest(b"two")


def test_changes_are_checked_and_named() -> None:
    settings = load_settings({"api_key": ["k"], "model_name": "m"}, {})
    changed = settings.replace(port=1234)
    assert (changed.port, changed.model_name, changed.api_key) == (1234, "m", settings.api_key)
    with pytest.raises(ConfigError, match="port 0 should be greater"):
        settings.replace(port=0)


def test_a_variable_that_names_no_setting_is_found() -> None:
    assert unknown_variables({"PENSTOCK_PROT": "1", "PENSTOCK_PORT": "1", "PENSTOCK_CONFIG": "f", "HOME": "/"}) == [
        "PENSTOCK_PROT"
    ]
