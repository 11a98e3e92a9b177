from concurrent.futures import ThreadPoolExecutor

import pytest

from demo import loading
from models import MODELS, CheckpointError, load_model


@pytest.fixture
def fresh():
    """An empty cache, before and after."""
    loading.load_once.cache_clear()
    yield
    loading.load_once.cache_clear()


def test_many_callers_load_once(monkeypatch, fresh):
    asked = []
    monkeypatch.setattr(loading, "load_model", lambda name: asked.append(name) or object())
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: loading.load_models(), range(16)))
    assert asked == list(MODELS)
    assert all(result is results[0] for result in results)


def test_a_model_missing_on_the_hub_is_replaced_by_the_bundled_one(monkeypatch, fresh, caplog):
    def load(source: str):
        if source == "someone/compact":
            raise CheckpointError("no such repository")
        return source

    monkeypatch.setattr(loading, "load_model", load)
    loaded = loading.load_models("someone")
    assert loaded.not_on_hub == ("compact",)
    assert loaded.networks["compact"] == "compact"
    assert loaded.networks["vgg19"] == "someone/vgg19"
    assert "someone/compact could not be loaded" in caplog.text


def test_latency_is_measured_once():
    network = load_model("compact")
    assert loading.latency_ms(network) == loading.latency_ms(network) > 0


def test_run_gives_a_function_the_networks(monkeypatch, fresh):
    monkeypatch.setattr(loading, "load_model", lambda name: name)
    assert loading.run(lambda networks, x, y: (sorted(networks), x, y), None, 1, y=2) == (sorted(MODELS), 1, 2)
