"""What is peculiar to buckets; what they share with folders is in `test_place`."""

from __future__ import annotations

import pickle

import pytest
import zarr

from featstore.errors import StoreError
from featstore.store.objects import ObjectPlace
from featstore.store.place import open_place


class _Obeys:
    """An obstore store that overwrites whatever the condition says, as a server does that does not know of them."""

    def __init__(self, store: object, deaf_to: type) -> None:
        self._store = store
        self._deaf_to = deaf_to

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def put(self, key: str, data: bytes, *, use_multipart: bool, mode: object = "overwrite") -> object:
        heard = "overwrite" if isinstance(mode, self._deaf_to) else mode
        return self._store.put(key, data, mode=heard, use_multipart=use_multipart)  # type: ignore[attr-defined]  # obstore's


class TestBucket:
    @pytest.mark.parametrize("deaf_to", [str, dict])
    def test_a_server_without_conditions_is_refused(self, s3_url: str, deaf_to: type) -> None:
        place = ObjectPlace(s3_url)
        place._store = _Obeys(place._store, deaf_to)  # type: ignore[assignment]  # a stand-in
        with pytest.raises(StoreError, match="If-None-Match and If-Match"):
            place.require_conditions()
        assert place.sizes("") == {}

    def test_conditions_that_are_switched_off_are_refused(self, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
        with pytest.raises(StoreError, match="If-None-Match and If-Match"):
            open_place(s3_url).require_conditions()

    def test_no_secret_travels(self, s3_url: str) -> None:
        assert s3_url.encode() in pickle.dumps(open_place(s3_url))
        assert b"a-secret-key" not in pickle.dumps(open_place(s3_url))
        assert b"a-secret-key" not in pickle.dumps(open_place(s3_url).zarr_store())

    def test_every_failure_tells_what_to_do(self, s3_url: str) -> None:
        place = open_place("s3://absent/f.zarr")
        calls = (
            lambda: place.read("a"),
            lambda: place.read_many(["a", "b"]),
            lambda: place.write("a", b"1"),
            lambda: place.swap("a", None, b"1"),
            lambda: place.delete("a"),
            lambda: place.sizes(""),
            place.is_empty,
            place.require_conditions,
            lambda: zarr.create_group(place.zarr_store()),
            lambda: zarr.open_group(place.zarr_store(), mode="w"),
        )
        for call in calls:
            with pytest.raises(StoreError, match=r"answer from s3://absent/f.zarr.*bucket does not exist.*AWS_REGION"):
                call()

    # Without a scheme; without AWS_ALLOW_HTTP.
    @pytest.mark.parametrize("endpoint", ["localhost:9000", "http://localhost:9000"])
    def test_a_wrong_endpoint_is_told_shortly(
        self, s3_url: str, endpoint: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "false")
        monkeypatch.setenv("RUST_BACKTRACE", "0")
        with pytest.raises(StoreError, match="AWS_ENDPOINT_URL") as caught:
            open_place(s3_url).read("a")
        assert len(str(caught.value)) < 700
        assert "Debug source" not in str(caught.value)
