"""The API: what is answered, and what is refused before it costs anything."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from evaluation.serve.answering import Answer
from evaluation.serve.app import ServeSettings
from evaluation.serve.limits import Limits
from evaluation.serve.upload import safe_name

from .conftest import SPECIES, bomb, files, panel_of, picture, running

IDENTIFY = "/api/identify"
RED, GREEN, BLUE = picture("red"), picture("lime"), picture("blue")


def fault(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error of an answer, which has the one form of all errors and betrays nothing."""
    content: dict[str, Any] = response.json()
    assert response.status_code == status, content
    assert set(content) == {"expected", "got", "remedy", "photographs"}
    assert all(content[part] for part in ("expected", "got", "remedy"))
    assert "Traceback" not in response.text
    assert tempfile.gettempdir() not in response.text
    return content


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whatever happens, no photograph stays on the disk."""
    folder = tmp_path_factory.mktemp("uploads")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    deadline = time.monotonic() + 5
    while list(folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(folder.iterdir()) == []


def test_an_answer_grows_photograph_by_photograph(client_of) -> None:
    response = client_of().post(IDENTIFY, files=files(RED, GREEN, GREEN), data={"views": ["flower", "", "LeafScan"]})
    content = response.json()
    assert response.status_code == 200
    assert [one["view"] for one in content["photographs"]] == ["Flower", "Unknown", "LeafScan"]
    assert [step["ranking"][0]["class_id"] for step in content["build_up"]] == ["10", "10", "7"]
    assert content["build_up"][-1]["ranking"] == content["ranking"]
    assert content["ranking"][0]["species"] == SPECIES["7"]
    assert content["unknown"] is None
    TypeAdapter(Answer).validate_python(content)
    assert set(content) == set(Answer.__dataclass_fields__)


def test_a_view_that_was_never_learnt_is_told(client_of, colours) -> None:
    colours.views = {"Unknown": False}
    content = client_of().post(IDENTIFY, files=files(RED), data={"views": "Flower"}).json()
    assert content["remarks"] == [
        "colours learnt photographs without a view only: 1-0.jpg is treated as without a view, not as Flower."
    ]


def test_no_path_of_the_server_leaves_it(client_of, training) -> None:
    text = client_of(threshold=0.99).post(IDENTIFY, files=files(RED)).text
    assert str(training.parent) not in text
    assert "/secret" not in text
    doubt = json.loads(text)["doubt"]
    assert (doubt["unknown"], doubt["accept_from"], doubt["source"]) == (True, 0.99, "threshold.json")


def test_training_photographs_are_shown_by_their_id_once_an_answer_has_named_them(client_of, training) -> None:
    client = client_of()
    assert fault(client.get("/api/photographs/t2"), 404)
    found = client.post(IDENTIFY, files=files(RED)).json()["neighbours"]["1-0.jpg"]
    assert [one["image_id"] for one in found] == ["t/1 é", "t2", "gone"]
    first = client.get(found[0]["photograph"])
    assert (first.status_code, first.headers["content-type"]) == (200, "image/jpeg")
    assert len(first.content) < len((training / "red.jpg").read_bytes())
    assert client.get(found[1]["photograph"]).status_code == 200
    assert str(training) not in fault(client.get(found[2]["photograph"]), 404)["got"]
    for name in (f"{training}/red.jpg", "../red.jpg", "%2e%2e%2fred.jpg", "red.jpg", ""):
        assert client.get(f"/api/photographs/{name}").status_code == 404


HOSTILE = {
    "text named .jpg": (("notes.jpg", b"Dear diary, today I saw a daisy.\n" * 40), 415, "a text file: notes.jpg"),
    "PDF": (("leaf.jpg", b"%PDF-1.7\n\x00\xff"), 415, "a PDF document: leaf.jpg"),
    "HEIC": (
        ("a.jpg", b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00" + bytes(600)),
        415,
        "a HEIC or AVIF picture: a.jpg",
    ),
    "SVG": (("a.png", b'<svg xmlns="http://www.w3.org/2000/svg"/>'), 415, "an SVG drawing: a.png"),
    "empty": (("a.jpg", b""), 422, "an empty file: a.jpg"),
    "PPM, which Pillow would open": (("a.jpg", b"P6 1 1 255\n\0\0\0"), 415, "a file that is no photograph: a.jpg"),
    "header alone": (("a.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF"), 422, "a damaged file: a.jpg"),
    "too large": (("a.jpg", RED + bytes(300_000)), 413, "more: a.jpg"),
}


@pytest.mark.parametrize(("upload", "status", "got"), HOSTILE.values(), ids=HOSTILE)
def test_a_file_that_is_no_photograph_is_named(client_of, colours, upload, status: int, got: str) -> None:
    client = client_of(limits=Limits(file_bytes=200_000))
    content = fault(client.post(IDENTIFY, files=files(RED, upload)), status)
    assert (content["got"], content["photographs"]) == (got, [2])
    assert colours.n_asked == 0


def test_a_bomb_of_pixels_is_refused_by_its_header(client_of, colours) -> None:
    data = bomb()
    assert len(data) < 400_000
    content = fault(client_of().post(IDENTIFY, files=files(("flower.png", data))), 413)
    assert content["got"] == "10000 x 10000 px: flower.png"
    assert colours.n_asked == 0


def test_a_truncated_photograph_is_left_out_and_told(client_of) -> None:
    half = picture("lime", (640, 480))[:1500]
    client = client_of()
    content = client.post(IDENTIFY, files=files(RED, half)).json()
    assert content["photographs"][0]["failure"] is None
    assert "damaged" in content["photographs"][1]["failure"]
    assert len(content["build_up"]) == 1
    assert fault(client.post(IDENTIFY, files=files(half, half)), 422)["photographs"] == [1, 2]


def test_types_go_by_content(client_of) -> None:
    forms = [("a.jpg", picture("red", form="PNG")), ("b.txt", picture("red", form="WEBP")), ("c", picture(form="TIFF"))]
    content = client_of().post(IDENTIFY, files=files(*forms)).json()
    assert [one["image_id"] for one in content["photographs"]] == ["1-a.jpg", "2-b.txt", "3-c"]
    assert content["ranking"][0]["class_id"] == "10"


def test_counts_and_sizes(client_of, colours) -> None:
    client = client_of(limits=Limits(n_photographs=20, total_bytes=500_000))
    assert fault(client.post(IDENTIFY, files=files(*[RED] * 500)), 413)["expected"].startswith("at most 20 photographs")
    assert "MB for all photographs" in fault(client.post(IDENTIFY, files=files(*[bytes(300_000)] * 2)), 413)["expected"]
    assert colours.n_asked == 0


FORM = {"Content-Type": "multipart/form-data; boundary=b"}
EMPTY = b"--b--\r\n"
BROKEN = {
    "no form": ({"Content-Type": "application/json"}, b"{}", 415),
    "no type": ({}, b"abc", 415),
    "no boundary": ({"Content-Type": "multipart/form-data"}, b"abc", 415),
    "a boundary without end": ({"Content-Type": f"multipart/form-data; boundary={'x' * 300}"}, b"abc", 422),
    "nothing": (FORM, b"", 422),
    "no part": (FORM, EMPTY, 422),
    "no multipart": (FORM, b"what is this", 422),
    "no end": (FORM, b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\nabc', 422),
    "no name": (FORM, b"--b\r\n\r\nabc\r\n--b--\r\n", 422),
    "another field": (FORM, b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\nabc\r\n--b--\r\n', 422),
    "a text as file": (FORM, b'--b\r\nContent-Disposition: form-data; name="files"\r\n\r\nabc\r\n--b--\r\n', 422),
    "a long view": (
        FORM,
        b'--b\r\nContent-Disposition: form-data; name="views"\r\n\r\n' + b"a" * 9999 + b"\r\n--b--\r\n",
        422,
    ),
    "endless headers": (FORM, b"--b\r\n" + b"X-A: b\r\n" * 9999, 422),
}


@pytest.mark.parametrize(("headers", "body", "status"), BROKEN.values(), ids=BROKEN)
def test_a_broken_upload_is_told(client_of, headers, body: bytes, status: int) -> None:
    fault(client_of().post(IDENTIFY, content=body, headers=headers), status)


def test_views_belong_to_photographs(client_of) -> None:
    client = client_of()
    several = fault(client.post(IDENTIFY, files=files(RED), data={"views": ["Leaf", "Leaf"]}), 422)
    assert several["got"] == "2 views of 1 photograph"
    wrong = fault(client.post(IDENTIFY, files=files(RED, GREEN), data={"views": ["leaf", "petal"]}), 422)
    assert wrong["got"] == "'petal'"
    assert wrong["photographs"] == [2]


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8000", 200), ("localhost", 200), ("[::1]:8000", 200), ("192.168.1.4", 200), ("plants.example", 200),
     ("PLANTS.example:80", 200), ("evil.example", 421), ("127.0.0.1.evil.example", 421), ("a@127.0.0.1x", 421),
     ("[::1", 421), ("localhost.evil", 421)],
)  # fmt: skip
def test_other_names_do_not_reach_the_server(client_of, host: str, status: int) -> None:
    response = client_of(names=("plants.example",)).get("/health", headers={"Host": host})
    assert response.status_code == status
    if status == 421:
        fault(response, 421)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9999"])
def test_pages_of_other_sites_cannot_ask(client_of, colours, origin: str) -> None:
    client = client_of()
    fault(client.post(IDENTIFY, files=files(RED), headers={"Origin": origin}), 403)
    assert colours.n_asked == 0
    own = client.post(IDENTIFY, files=files(RED), headers={"Origin": str(client.base_url).rstrip("/")})
    assert own.status_code == 200


@pytest.mark.parametrize("address", ["/", "/docs", "/health", "/api/models", "/nowhere", "/page.js", "/swagger-ui.css"])
def test_every_answer_tells_the_browser_what_to_forbid(client_of, address: str) -> None:
    response = client_of().get(address)
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert not any(name.startswith("access-control") for name in response.headers)
    assert "server" not in response.headers
    if address == "/nowhere":
        fault(response, 404)


def test_wrong_methods_and_facts(client_of) -> None:
    client = client_of(threshold=0.5)
    assert fault(client.get(IDENTIFY), 405)
    facts = client.get("/api/models").json()
    assert facts["models"] == [{"model": "colours", "species": 4}]
    assert facts["limits"]["photographs"] == 20
    assert (facts["accept_from"], facts["keeps"], len(facts["views"])) == (0.5, False, 8)
    assert client.get("/health").json() == {"status": "ok", "requests": 0}


def test_a_defect_is_told_without_its_traceback(client_of, colours, caplog) -> None:
    def fail() -> None:
        raise RuntimeError("/secret/place")

    colours.before = fail
    response = client_of().post(IDENTIFY, files=files(RED))
    assert "/secret" not in response.text
    assert "Content-Security-Policy" in response.headers
    fault(response, 500)
    assert "/secret/place" in caplog.text


def test_what_is_kept_is_whole(client_of, tmp_path) -> None:
    kept = tmp_path / "kept"
    client = client_of(keep=kept)
    content = client.post(IDENTIFY, files=files(("daisy.jpg", RED)), data={"views": "Flower"}).json()
    fault(client.post(IDENTIFY, files=files(b"text")), 415)
    [folder] = kept.iterdir()
    assert (folder / "1-daisy.jpg").read_bytes() == RED
    assert json.loads((folder / "answer.json").read_text()) == content
    assert client.get("/api/models").json()["keeps"] is True


def test_a_folder_that_cannot_be_written_costs_the_copy_alone(client_of, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    response = client_of(keep=tmp_path / "file").post(IDENTIFY, files=files(RED))
    assert response.status_code == 200
    assert "could not keep" in response.json()["remarks"][-1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("../../etc/passwd", "passwd"), ("C:\\photos\\a.jpg", "a.jpg"), ("", "photograph"), ("..", "photograph"),
     ("a\0b\nc.jpg", "a_b_c.jpg"), ("Mohn (ä).jpg", "Mohn (ä).jpg"), ("x" * 999, "x" * 50),
     ("Con.jpg", "_Con.jpg"), ("LPT1", "_LPT1"), ("conifer.jpg", "conifer.jpg")],
)  # fmt: skip
def test_names_of_files_are_ours(name: str, expected: str) -> None:
    assert safe_name(name) == expected


def test_a_line_of_bounded_length(colours) -> None:
    free = threading.Event()
    colours.before = free.wait
    with running(panel_of(colours), ServeSettings(limits=Limits(n_waiting=2))) as address:

        async def ask_five() -> list[httpx.Response]:
            async with httpx.AsyncClient(base_url=address, timeout=20, trust_env=False) as client:
                sent = [asyncio.create_task(client.post(IDENTIFY, files=files(RED))) for _ in range(5)]
                while sum(one.done() for one in sent) < 2:
                    await asyncio.sleep(0.01)
                assert (await client.get("/health")).json()["requests"] == 3
                free.set()
                return await asyncio.gather(*sent)

        found = asyncio.run(ask_five())
        assert sorted(one.status_code for one in found) == [200, 200, 200, 503, 503]
        assert all(int(one.headers["Retry-After"]) >= 1 for one in found if fault_free(one))
        assert httpx.get(f"{address}/health", trust_env=False).json()["requests"] == 0


def fault_free(response: httpx.Response) -> bool:
    return response.status_code == 503 and bool(fault(response, 503))


def test_slow_models_and_slow_uploads_end_in_time(colours) -> None:
    free = threading.Event()
    colours.before = free.wait
    with running(panel_of(colours), ServeSettings(limits=Limits(timeout_s=0.3))) as address:
        first = httpx.post(address + IDENTIFY, files=files(RED), trust_env=False)
        assert "an answer within 0.3 s" in fault(first, 503)["expected"]
        # One that waited behind it in vain is never begun.
        fault(httpx.post(address + IDENTIFY, files=files(RED), trust_env=False), 503)
        free.set()
        with connection(address) as wire:
            send_head(wire, 5000)
            wire.sendall(b"--b\r\n")
            assert wire.recv(1000).startswith(b"HTTP/1.1 408")
        assert httpx.post(address + IDENTIFY, files=files(RED), trust_env=False).status_code == 200
    assert colours.n_asked == 2


def test_an_aborted_upload_and_a_client_that_leaves_free_their_places(colours, nothing_is_left: Path) -> None:
    free = threading.Event()
    colours.before = free.wait
    with running(panel_of(colours), ServeSettings(limits=Limits(n_waiting=1))) as address:
        for _ in range(3):
            with connection(address) as wire:
                send_head(wire, 5000)
                wire.sendall(b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n\xff\xd8')
                wait_until(lambda: any(nothing_is_left.rglob("a.jpg")))
            wait_until(lambda: not any(nothing_is_left.iterdir()))
        body = httpx.Request("POST", address, files=files(RED))
        for _ in range(2):
            with connection(address) as wire:
                send_head(wire, len(body.read()), body.headers["Content-Type"])
                wire.sendall(body.read())
                wait_until(lambda: requests(address) == 1)
            wait_until(lambda: requests(address) == 0)
        free.set()
        assert httpx.post(address + IDENTIFY, files=files(RED), trust_env=False).status_code == 200
    # The first was under way when its client left; the second waited and was not begun.
    assert colours.n_asked == 2


def test_a_refused_upload_hears_why_while_it_still_sends(colours) -> None:
    with running(panel_of(colours), ServeSettings(limits=Limits(total_bytes=1_000_000))) as address:
        for length in ({}, {"Transfer-Encoding": "chunked"}):
            content = (bytes(100_000) for _ in range(200)) if length else bytes(20_000_000)
            response = httpx.post(address + IDENTIFY, content=content, headers=FORM, trust_env=False)
            assert fault(response, 422 if length else 413)


def requests(address: str) -> int:
    return int(httpx.get(f"{address}/health", trust_env=False).json()["requests"])


def wait_until(condition: Any) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def connection(address: str) -> socket.socket:
    url = httpx.URL(address)
    return socket.create_connection((url.host, url.port), timeout=20)


def send_head(wire: socket.socket, length: int, kind: str = FORM["Content-Type"]) -> None:
    head = f"POST {IDENTIFY} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    wire.sendall(head.encode())
