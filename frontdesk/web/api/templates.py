"""Templates: which there are, how one reads when it is filled in, and reading them from Meta again."""

from frontdesk.flows import template_parts
from frontdesk.flows.refusals import Refused
from frontdesk.flows.template_parts import BadVariable
from frontdesk.store import listing, templates
from frontdesk.store.templates import Template
from frontdesk.web.api import models
from frontdesk.web.api.operation import Call, Operation


def _templates(call: Call) -> models.Templates:
    found = [one for account_id in _accounts(call) for one in templates.of_account(call.context.db, account_id)]
    return models.Templates(items=[_as_template(one) for one in found])


def _preview(call: Call) -> models.TemplatePreview:
    template = _known(call)
    try:
        template_parts.fill(template, call.given.variables)
        problem = None
    except BadVariable as error:
        problem = models.ErrorBody(code="bad_variable", message=str(error), field=error.field)
    shown = template_parts.preview(template, call.given.variables)
    return models.TemplatePreview(header=shown.header, body=shown.body, footer=shown.footer, buttons=shown.buttons, problem=problem)


def _refresh(call: Call) -> models.Asked:
    call.context.queues.refresh_templates()
    return models.Asked()


def _accounts(call: Call) -> list[str]:
    return listing.accounts(call.context.db, client_id=call.token.client_id)


def _known(call: Call) -> Template:
    template = templates.get(call.context.db, call.path["template_id"])
    if template is None or template.account_id not in _accounts(call):
        raise Refused(404, "not_found", "There is no such template.")
    return template


def _as_template(one: Template) -> models.Template:
    return models.Template(
        id=one.id,
        account_id=one.account_id,
        name=one.name,
        language=one.language,
        category=one.category,
        status=one.status,
        usable=template_parts.obstacle(one) is None,
        obstacle=template_parts.obstacle(one),
        header_file=template_parts.header_file(one),
        variables=[models.TemplateVariable(name=slot.name, where=slot.where, example=slot.example) for slot in template_parts.slots(one)],
        preview=template_parts.preview(one, {}).body,
        updated_at=one.updated_at,
    )


OPERATIONS = [
    Operation("listTemplates", "GET", "/templates", "read", "Every template of your accounts", None, models.Templates, 200, _templates),
    Operation("refreshTemplates", "POST", "/templates/refresh", "send", "Read them from Meta soon", None, models.Asked, 202, _refresh),
    Operation(
        "previewTemplate", "POST", "/templates/<int:template_id>/preview", "read", "How it reads, and what is missing",
        models.PreviewTemplate, models.TemplatePreview, 200, _preview, (404,),
    ),
]  # fmt: skip
