"""One tiny Llama and one process for each engine, shared by the tests of a run."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.workers.engine.tiny import EngineProcess, write_model


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="session")
def openvino_process(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Iterator[EngineProcess]:
    process = EngineProcess(tmp_path_factory.mktemp("openvino"), tiny_llama, max_concurrent=16).wait_ready()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def transformers_process(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path) -> Iterator[EngineProcess]:
    folder = tmp_path_factory.mktemp("transformers")
    process = EngineProcess(folder, tiny_llama, engine="transformers", max_concurrent=16).wait_ready()
    yield process
    process.stop()


@pytest.fixture(params=["openvino", "transformers"])
def engine_process(request: pytest.FixtureRequest) -> EngineProcess:
    """Each engine in turn."""
    process = request.getfixturevalue(f"{request.param}_process")
    assert isinstance(process, EngineProcess)
    return process


@pytest.fixture
def http(openvino_process: EngineProcess) -> Iterator[httpx.Client]:
    with openvino_process.http() as client:
        yield client
