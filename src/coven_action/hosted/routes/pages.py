"""Routes of pages for people: a run, for whoever may see it."""

import re
from typing import Final

from fastapi import APIRouter, Request, Response

from coven_action.core.oidc.authority import Action
from coven_action.hosted.http import get_endpoint, get_person
from coven_action.hosted.pages import render_page
from coven_action.hosted.problems import Problem
from coven_action.hosted.services.run_views import read_view

router = APIRouter()
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,14}")


@router.get("/runs/{number}", include_in_schema=False)
async def show_run(request: Request, number: str) -> Response:
    """Return a run's page: what it did, what it had of memory, and where that shows."""
    person = get_person(request, Action.VIEW)
    if not _NUMBER.fullmatch(number):
        raise Problem("no-such-resource")
    view = await get_endpoint(request).store.read(person.tenant_id, lambda reading: read_view(reading, int(number)))
    values = {"run": view.run, "events": view.page.events, "has_more": view.has_more, "uses": view.uses}
    return render_page("run", values)
