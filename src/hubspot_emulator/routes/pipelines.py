"""`/crm/v3/pipelines/{type}`: pipelines and stages."""

from __future__ import annotations

from hubspot_emulator.account import Account
from hubspot_emulator.pipeline import Pipeline, Pipelines
from hubspot_emulator.problems import BadRequest, Conflict
from hubspot_emulator.router import DATED, Handler, Route
from hubspot_emulator.web import Answer, Request

__all__ = ["ROUTES"]


def _pipelines(account: Account, request: Request) -> Pipelines:
    return account.portal.pipelines[account.portal.table(request.params["object_type"]).type.type_id]


def _pipeline(account: Account, request: Request) -> Pipeline:
    return _pipelines(account, request).get(request.params["pipeline_id"])


def _refuse_when_used(account: Account, request: Request, pipeline_id: str, stage_id: str | None = None) -> None:
    """Records keep their pipeline and stage from being deleted [D]."""
    table = account.portal.table(request.params["object_type"])
    type_ = table.type
    for record in table.records.values():
        properties = record.properties
        if record.archived or properties.get(type_.pipeline_property or "") != pipeline_id:
            continue
        if stage_id in (None, properties.get(type_.stage_property or "")):
            raise Conflict(f"{type_.singular.capitalize()} {record.id} is still in it")


def list_all(account: Account, request: Request) -> Answer:
    return Answer({"results": [one.wire() for one in _pipelines(account, request).all()]})


def create(account: Account, request: Request) -> Answer:
    return Answer(_pipelines(account, request).add(request.object, account.clock.now_ms()).wire(), 201)


def get(account: Account, request: Request) -> Answer:
    return Answer(_pipeline(account, request).wire())


def update(account: Account, request: Request) -> Answer:
    pipeline = _pipeline(account, request)
    body = request.object
    label, order = body.get("label", pipeline.label), body.get("displayOrder", pipeline.display_order)
    if not isinstance(label, str) or isinstance(order, bool) or not isinstance(order, int):
        raise BadRequest("Invalid input JSON: label must be text, displayOrder a number")
    pipeline.label, pipeline.display_order = label, order
    pipeline.updated_ms = account.clock.now_ms()
    return Answer(pipeline.wire())


def replace(account: Account, request: Request) -> Answer:
    pipeline = _pipeline(account, request)
    _refuse_when_used(account, request, pipeline.id)
    replaced = _pipelines(account, request).add(request.object, account.clock.now_ms(), pipeline.id)
    return Answer(replaced.wire())


def archive(account: Account, request: Request) -> Answer:
    pipeline = _pipeline(account, request)
    _refuse_when_used(account, request, pipeline.id)
    _pipelines(account, request).remove(pipeline.id)
    return Answer(None, 204)


def stages(account: Account, request: Request) -> Answer:
    return Answer({"results": [one.wire() for one in _pipeline(account, request).stages.values()]})


def create_stage(account: Account, request: Request) -> Answer:
    pipeline = _pipeline(account, request)
    stage = _pipelines(account, request).add_stage(pipeline, request.object, account.clock.now_ms())
    return Answer(stage.wire(), 201)


def get_stage(account: Account, request: Request) -> Answer:
    return Answer(_pipeline(account, request).stage(request.params["stage_id"]).wire())


def update_stage(account: Account, request: Request) -> Answer:
    pipeline = _pipeline(account, request)
    stage = pipeline.stage(request.params["stage_id"])
    merged = {"label": stage.label, "displayOrder": stage.display_order, "metadata": stage.metadata}
    merged |= request.object
    changed = _pipelines(account, request).add_stage(pipeline, merged, account.clock.now_ms(), stage.id)
    changed.created_ms = stage.created_ms
    return Answer(changed.wire())


def archive_stage(account: Account, request: Request) -> Answer:
    pipeline = _pipeline(account, request)
    stage = pipeline.stage(request.params["stage_id"])
    _refuse_when_used(account, request, pipeline.id, stage.id)
    del pipeline.stages[stage.id]
    return Answer(None, 204)


def _route(name: str, method: str, tail: str, handler: Handler, access: str) -> Route:
    paths = (f"/crm/v3/pipelines/{{object_type}}{tail}", f"/crm/pipelines/{DATED}/{{object_type}}{tail}")
    return Route(f"pipelines.{name}", method, paths, handler, access)


_ONE = "/{pipeline_id}"
_STAGE = "/{pipeline_id}/stages/{stage_id}"

ROUTES = (
    _route("list", "GET", "", list_all, "read"),
    _route("create", "POST", "", create, "write"),
    _route("get", "GET", _ONE, get, "read"),
    _route("update", "PATCH", _ONE, update, "write"),
    _route("replace", "PUT", _ONE, replace, "write"),
    _route("archive", "DELETE", _ONE, archive, "write"),
    _route("stages", "GET", f"{_ONE}/stages", stages, "read"),
    _route("create_stage", "POST", f"{_ONE}/stages", create_stage, "write"),
    _route("get_stage", "GET", _STAGE, get_stage, "read"),
    _route("update_stage", "PATCH", _STAGE, update_stage, "write"),
    _route("replace_stage", "PUT", _STAGE, update_stage, "write"),
    _route("archive_stage", "DELETE", _STAGE, archive_stage, "write"),
)
