"""Pages: what a browser is shown. Every file comes from this machine, none from the network."""

from __future__ import annotations

from importlib.resources import files

from fastapi import FastAPI
from starlette.responses import Response

PAGES = {
    "/": ("index.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/docs": ("docs.html", "text/html"),
    "/docs.js": ("docs.js", "text/javascript"),
}
SWAGGER = {
    "/swagger-ui.css": ("swagger-ui.css", "text/css"),
    "/swagger-ui-bundle.js": ("swagger-ui-bundle.js", "text/javascript"),
}
"""FastAPI's own page about the API would load these from a CDN; the package fastapi-offline carries them."""


def add_pages(app: FastAPI) -> None:
    """Add the pages and what they need to an application."""
    own, swagger = files("evaluation.serve") / "page", files("fastapi_offline") / "static"
    for folder, pages in ((own, PAGES), (swagger, SWAGGER)):
        for address, (name, media_type) in pages.items():
            _add(app, address, (folder / name).read_bytes(), media_type)


def _add(app: FastAPI, address: str, content: bytes, media_type: str) -> None:
    async def page() -> Response:
        # Asked for anew each time and small: what is shown is what this version of the server has.
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

    app.add_api_route(address, page, methods=["GET", "HEAD"], include_in_schema=False)
