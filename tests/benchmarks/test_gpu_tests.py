"""A record of tests says which have passed, failed and been skipped."""

import json

import gpu_tests
import pytest

TESTS = """
import pytest

def test_good(): pass
def test_bad(): assert False
def test_of_a_gpu(): pytest.skip("needs one")
@pytest.fixture
def broken(): raise OSError
def test_that_cannot_begin(broken): pass
"""


def test_what_came_of_each_is_recorded(tmp_path, run_script):
    file, output = tmp_path / "test_made.py", tmp_path / "found.json"
    file.write_text(TESTS)
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import sys, gpu_tests\n"
        "gpu_tests.environment = lambda _: {'hardware': 'a GPU'}\n"
        f"print('status', gpu_tests.main(['--files', {str(file)!r}, '--output', {str(output)!r}]))\n"
    )
    assert "status 1" in run_script(driver)
    found = json.loads(output.read_text())
    assert (found["passed"], found["environment"]["hardware"]) == (1, "a GPU")
    assert [name.rpartition("::")[2] for name in found["failed"]] == ["test_bad", "test_that_cannot_begin"]
    assert [name.rpartition("::")[2] for name in found["skipped"]] == ["test_of_a_gpu"]


@pytest.mark.parametrize("file", gpu_tests.FILES)
def test_files_exist(file):
    assert (gpu_tests.TESTS / file).is_file()
