"""A Starlette application in which syncnet is mounted, for uvicorn: `tests.end_to_end.mounted_app:app`."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from syncnet import ASGIApp


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"home of {request.url.path}")


app = Starlette(routes=[Route("/", home), Mount("/sync", ASGIApp())])
alone = ASGIApp()
