"""A Hub on this machine, and the real client pointed at it."""

import pytest
from hub_server import HubServer
from huggingface_hub import constants
from huggingface_hub.utils import close_session
from tiny_checkpoints import make_checkpoint


@pytest.fixture(autouse=True)
def hub(monkeypatch, tmp_path):
    """A running server. ``HF_ENDPOINT`` and its like are read at import, so the constants are patched."""
    with HubServer() as server:
        patched = {
            "ENDPOINT": server.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(tmp_path / "cache"),
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_OFFLINE": False,
            "HF_TOKEN_PATH": str(tmp_path / "no-token"),
            "HF_STORED_TOKENS_PATH": str(tmp_path / "no-tokens"),
        }
        for name, value in patched.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
        monkeypatch.setattr("huggingface_hub.file_download.time", Impatient)
        monkeypatch.setattr("huggingface_hub.utils._http.time", Impatient)
        yield server
        close_session()


@pytest.fixture
def token(monkeypatch, hub):
    monkeypatch.setenv("HF_TOKEN", hub.token)
    return hub.token


class Impatient:
    """Stands for ``time`` in the client, so that its retries do not wait."""

    @staticmethod
    def sleep(seconds: float) -> None:
        pass


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """A folder with a compact network of five classes, as ``train.run`` leaves it."""
    return make_checkpoint("compact", tmp_path_factory.mktemp("runs") / "tiny")
