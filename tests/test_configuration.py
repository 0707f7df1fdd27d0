"""Settings: which source wins, and what is said of a wrong one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lightmeter import configuration
from lightmeter.configuration import (
    Renamed,
    Sources,
    everything,
    known_keys,
    read_sources,
    resolve,
    variable,
)
from lightmeter.errors import SettingError
from lightmeter.settings import SECTIONS, Serve
from lightmeter.settings_plan import Plan
from support.cli import inside


def file(folder: Path, text: str) -> Path:
    """Write a configuration file."""
    path = folder / "settings.toml"
    path.write_text(text)
    return path


def refused(
    environ: Mapping[str, str], path: Path | None = None, options: Mapping[str, Any] | None = None
) -> str:
    """Return the one line with which the server's settings are refused."""
    with pytest.raises(SettingError) as caught:
        resolve(Serve, read_sources(environ, path), options or {})
    assert 1 == len(str(caught.value).splitlines())
    return str(caught.value)


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a folder without a lightmeter.toml."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("port", "origin", "sources"),
    [
        (1, "--port", "option variable file"),
        (2, "LIGHTMETER_SERVE_PORT", "variable file"),
        (3, "settings.toml", "file"),
        (7860, "default", ""),
        (1, "--port", "option file"),
        (1, "--port", "option"),
    ],
)
def test_precedence(port: int, origin: str, sources: str, tmp_path: Path) -> None:
    """The command line wins over the environment, that over the file, that over the default."""
    path = file(tmp_path, "[serve]\nport = 3\n") if "file" in sources else file(tmp_path, "")
    environ = {"LIGHTMETER_SERVE_PORT": "2"} if "variable" in sources else {}
    options = {"port": "1"} if "option" in sources else {"port": None}

    settled, values = resolve(Serve, read_sources(environ, path), options)
    (value,) = [value for value in values if value.key == "port"]
    assert port == settled.port == value.value
    assert origin in (value.origin, Path(value.origin).name)


def test_each_by_itself(tmp_path: Path) -> None:
    """Sources mix: each setting comes from the first source that names it."""
    path = file(tmp_path, '[serve]\nqueue = 5\nsteps = 4\n[plan]\nsku = "x"\n')
    settled, values = resolve(
        Serve, read_sources({"LIGHTMETER_SERVE_STEPS": "2"}, path), {"max_steps": "9"}
    )

    assert (5, 2, 9, 4) == (settled.queue, settled.steps, settled.max_steps, settled.max_images)
    given = {value.key: value.origin for value in values if value.origin != "default"}
    assert {
        "queue": str(path),
        "steps": "LIGHTMETER_SERVE_STEPS",
        "max_steps": "--max-steps",
    } == given


def test_file_in_folder(tmp_path: Path) -> None:
    """A lightmeter.toml in the folder is read unasked, and where there is none it is not missed."""
    assert {} == read_sources({}).file
    (tmp_path / "lightmeter.toml").write_text("[serve]\nqueue = 5\n")

    assert Sources({}, {("serve", "queue"): 5}, "lightmeter.toml") == read_sources({})


def test_file_by_variable(tmp_path: Path) -> None:
    """LIGHTMETER_CONFIG names the file, --config wins over it, and neither is a setting."""
    one, other = file(tmp_path, "[serve]\nqueue = 5\n"), tmp_path / "other.toml"
    other.write_text("[serve]\nqueue = 6\n")
    environ = {"LIGHTMETER_CONFIG": str(one)}

    assert {("serve", "queue"): 5} == read_sources(environ).file
    assert {("serve", "queue"): 6} == read_sources(environ, other).file


@pytest.mark.parametrize("name", ["LIGHTMETER_TRACES", "PATH", "LIGHTMETERX"])
def test_other_variables(name: str) -> None:
    """The folder of public traces and variables of others are no settings and no errors."""
    assert {} == read_sources({name: "/somewhere"}).environment


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("LIGHTMETER_SERVE_PROT", "LIGHTMETER_SERVE_PORT"),
        ("LIGHTMETER_PORT", "LIGHTMETER_SERVE_PORT"),
        ("LIGHTMETER_PLAN_SKUS", "LIGHTMETER_PLAN_SKU"),
        ("LIGHTMETER_TRACE", None),
    ],
)
def test_unknown_variable(name: str, nearest: str | None) -> None:
    """A variable with our prefix that is no setting is refused, with the nearest one."""
    line = refused({name: "1"})

    assert line.startswith(f"environment variable {name} is no setting")
    assert nearest is None or line.endswith(f"; did you mean {nearest!r}?")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[serve]\nprot = 1\n", "serve.prot is no setting; did you mean 'serve.port'?"),
        ("[plan]\nport = 1\n", "plan.port is no setting"),
        ("[sevre]\nport = 1\n", "[sevre] is no section; did you mean 'serve'?"),
        ("[zzz]\nport = 1\n", "[zzz] is no section"),
        ("port = 1\n", "[port] is no section"),
        ("serve = 1\n", "[serve] is no section"),
        ("[serve\n", "is no TOML: "),
        ("[serve]\nport = 1\nport = 2\n", "is no TOML: "),
    ],
)
def test_bad_file(text: str, words: str, tmp_path: Path) -> None:
    """What a file may not say is refused with the file, the key and the nearest known one."""
    path = file(tmp_path, text)
    line = refused({}, path)

    assert str(path) in line
    assert words in line


@pytest.mark.parametrize("named_by", ["option", "variable"])
def test_missing_file(named_by: str, tmp_path: Path) -> None:
    """A file that was named and is not there is refused."""
    path = tmp_path / "absent.toml"
    environ = {"LIGHTMETER_CONFIG": str(path)} if named_by == "variable" else {}

    line = refused(environ, path if named_by == "option" else None)
    assert f"configuration file {str(path)!r} does not exist" == line


def test_no_text(tmp_path: Path) -> None:
    """A folder or a picture in the file's place is refused by name."""
    picture = tmp_path / "picture.png"
    picture.write_bytes(b"\x89PNG\xff")

    assert f"configuration file {str(tmp_path)!r} is a folder, not a file" == refused({}, tmp_path)
    assert f"configuration file {str(picture)!r} is no TOML" in refused({}, picture)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("port", "http", "integer"),
        ("port", "-1", "greater than or equal to 0"),
        ("port", "65536", "less than or equal to 65535"),
        ("workers", "-1", "greater than or equal to 0"),
        ("workers", "1.5", "integer"),
        ("deadline", "0", "greater than 0"),
        ("deadline", "nan", ""),
        ("max_wait", "nan", ""),
        ("max_wait", "inf", "less than or equal to 86400"),
        ("device", "tpu", "'auto', 'cpu' or 'cuda'"),
        ("fsync", "perhaps", "boolean"),
        ("service", "two words", "match pattern"),
        ("service", "x" * 65, "at most 64"),
        ("model", "", "at least 1 character"),
    ],
)
def test_bad_value(key: str, value: str, allowed: str, tmp_path: Path) -> None:
    """A value that cannot be used is refused with the setting, the value, its origin and the range."""
    path = file(tmp_path, f'[serve]\n{key} = "{value}"\n')
    name = variable("serve", key)
    option = "--" + key.replace("_", "-")

    for line, origin in (
        (refused({}, options={key: value}), option),
        (refused({name: value}), name),
        (refused({}, path), str(path)),
    ):
        assert f"serve.{key} is {value!r} (from {origin}): " in line
        assert allowed in line


def test_empty_host() -> None:
    """An empty host is refused: it would open the server to every network, unasked."""
    assert "serve.host is ''" in refused({"LIGHTMETER_SERVE_HOST": ""})


@pytest.mark.parametrize("text", ["port = true", "port = [1]", "model = 5", 'fsync = "maybe"'])
def test_bad_type(text: str, tmp_path: Path) -> None:
    """A value of the wrong kind in the file is refused, not bent into shape."""
    assert f"serve.{text.split(maxsplit=1)[0]} is " in refused(
        {}, file(tmp_path, f"[serve]\n{text}\n")
    )


@pytest.mark.parametrize("value", ["nan", "-1", "1e9"])
def test_bad_number_elsewhere(value: str) -> None:
    """The planner's numbers have limits too."""
    for key in ("start_seconds", "swap_seconds"):
        with pytest.raises(SettingError, match=f"plan.{key} is '{value}'"):
            resolve(Plan, read_sources({}), {key: value})


def test_frozen() -> None:
    """Settled settings cannot be changed afterwards."""
    settled, _ = resolve(Serve, read_sources({}), {})

    with pytest.raises(ValidationError, match="frozen"):
        settled.port = 1


def test_everything() -> None:
    """Every setting of every section is listed, in the order in which it is documented."""
    values = everything(read_sources({"LIGHTMETER_PLAN_SEED": "7"}))

    assert list(known_keys()) == [f"{value.section}.{value.key}" for value in values]
    assert [("seed", 7)] == [(v.key, v.value) for v in values if v.origin != "default"]


@pytest.mark.parametrize("pair", known_keys().values(), ids=known_keys())
def test_described(pair: tuple[str, str]) -> None:
    """Every setting says in a sentence what it does, and its default is one it accepts."""
    section, key = pair
    field = SECTIONS[section].model_fields[key]

    assert (field.description or "").endswith(".")
    assert field.default == getattr(SECTIONS[section].model_validate({key: field.default}), key)


def test_variables() -> None:
    """No two settings share a variable, and none has the name of a variable that is no setting."""
    names = [variable(*pair) for pair in known_keys().values()]

    assert len(set(names)) == len(names)
    assert not set(names) & set(configuration.FREE_VARIABLES)


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let serve.backlog be what serve.queue was called once, in a section that is none by now, too."""
    monkeypatch.setitem(configuration.RENAMED, "serve.backlog", Renamed("serve.queue", "0.9.0"))


@pytest.mark.usefixtures("renamed")
def test_renamed(tmp_path: Path) -> None:
    """A setting's former name still counts, in the file and in the environment, and says what to write."""
    path = file(tmp_path, "[serve]\nbacklog = 5\n")
    in_file = read_sources({}, path)
    in_environment = read_sources({"LIGHTMETER_SERVE_BACKLOG": "7"}, file(tmp_path, ""))

    assert (5, 7) == tuple(resolve(Serve, one, {})[0].queue for one in (in_file, in_environment))
    (note,) = in_file.notes
    assert f"{path}: serve.backlog is called serve.queue since 0.9.0; write serve.queue" in note
    (note,) = in_environment.notes
    assert "variable LIGHTMETER_SERVE_BACKLOG is called LIGHTMETER_SERVE_QUEUE since 0.9.0" in note


@pytest.mark.usefixtures("renamed")
@pytest.mark.parametrize("text", ["backlog = 5\nqueue = 9", "queue = 9\nbacklog = 5"])
def test_renamed_twice(text: str, tmp_path: Path) -> None:
    """Where both names are given the new one counts, in whichever order, and that is said."""
    found = read_sources(
        {"LIGHTMETER_SERVE_BACKLOG": "5", "LIGHTMETER_SERVE_QUEUE": "8"},
        file(tmp_path, f"[serve]\n{text}\n"),
    )

    assert ("8", 9) == (found.environment["serve", "queue"], found.file["serve", "queue"])
    assert 2 == sum("is given as well and counts" in note for note in found.notes)


@pytest.mark.usefixtures("renamed")
def test_renamed_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A command says it once, on stderr, however often it looks; its result stays clean."""
    file(tmp_path, "[serve]\nbacklog = 5\n")
    code = inside("--config", "settings.toml", "config", "show", "--json")
    said = capsys.readouterr()

    assert (0, 1) == (code, said.err.count("serve.backlog is called serve.queue since 0.9.0"))
    assert "note" not in said.out
    assert [5] == [row["value"] for row in json.loads(said.out) if (row["section"], row["key"]) == ("serve", "queue")]  # fmt: skip


def test_renamed_leads_somewhere() -> None:
    """Each former name is none of today's, and leads to one of today's."""
    assert set() == configuration.RENAMED.keys() & known_keys().keys()
    assert {new.to for new in configuration.RENAMED.values()} <= known_keys().keys()
