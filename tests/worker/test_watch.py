"""Which files of code are watched for changes."""

import os
from pathlib import Path

import pytest

from mainspring.worker import watch


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path


def test_only_python_files_of_ones_own_are_seen(here: Path) -> None:
    own = {written(here / "app.py"), written(here / "shop" / "jobs.py")}
    written(here / "notes.txt")
    for folder in (".git", "node_modules", "__pycache__", "lib/site-packages"):
        written(here / folder / "other.py")
    written(here / "env" / "pyvenv.cfg")
    written(here / "env" / "lib" / "other.py")
    (here / "loop").symlink_to(here)
    assert set(watch.look([here])) == {str(path) for path in own}


def test_the_code_of_an_app_is_its_package_wherever_it_is_and_what_is_here(
    here: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = tmp_path_factory.mktemp("far")
    written(far / "far_shop" / "__init__.py")
    monkeypatch.syspath_prepend(str(far))
    assert watch.code_of("far_shop.jobs:app") == [far / "far_shop", here]
    assert watch.code_of(f"{far}/script.py:app") == [far / "script.py", here]
    written(here / "near_shop.py")
    monkeypatch.syspath_prepend(str(here))
    assert watch.code_of("near_shop:app") == [here]
    written(far / "script.py")
    written(far / "beside.py")
    assert list(watch.look([far / "script.py", here / "gone.py"])) == [str(far / "script.py")]


def test_a_change_is_seen_whatever_it_is(here: Path) -> None:
    file = written(here / "app.py")
    before = watch.look([here])
    os.utime(file, ns=(0, 0))
    touched = watch.look([here])
    written(here / "new.py")
    grown = watch.look([here])
    file.unlink()
    assert before != touched != grown != watch.look([here])
