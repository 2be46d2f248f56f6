"""The command line, as far as it answers without Keras."""

import json
import subprocess
import sys

from commands import ran

from keras_gen import cli, config


def test_list_names_every_preset_for_people_and_for_machines():
    shown = ran("list").stdout
    entries = json.loads(ran("list", "--json").stdout)["presets"]
    assert [entry["name"] for entry in entries] == sorted(config.presets())
    assert all(entry["name"] in shown for entry in entries)
    by_name = {entry["name"]: entry for entry in entries}
    assert by_name["cvae_digits"]["conditional"] and not by_name["vae_digits"]["conditional"]


def test_data_prepare_calls_the_data_room_and_says_where(monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "prepare", lambda name, data_dir: data_dir / name)
    result = ran("data", "prepare", "fashion_mnist", "--data-dir", tmp_path)
    assert result.stdout.strip() == f"prepared {tmp_path / 'fashion_mnist'}"
    assert "fashion_mnist" in ran("data", "list").stdout


def test_configs_help_list_and_refusals_come_without_keras_and_other_weights():
    """In a fresh process: no test before may have loaded what they must not."""
    script = (
        "import sys\n"
        "import keras_gen\n"
        "from keras_gen import config\n"
        "config.read('vae_digits', ['train.epochs=3'])\n"
        "from typer.testing import CliRunner\n"
        "from keras_gen.cli import app\n"
        "for arguments in (['--help'], ['list'], ['train', '--help'], ['train', 'vae_digit'],\n"
        "                  ['sample', 'nothing'], ['verify', 'vae_digit']):\n"
        "    CliRunner().invoke(app, arguments)\n"
        "heavy = {'keras', 'jax', 'tensorflow', 'torch', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", script], check=True)
