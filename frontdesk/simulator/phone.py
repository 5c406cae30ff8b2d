"""The pages: a phone on which a newcomer is the customer, with a drawer in which things are made to go wrong; and a shop's site."""

from flask import Blueprint, Response, jsonify, redirect, render_template, request

from frontdesk.simulator.config import Config

BUSINESS = "Corner Bakery"
POLICY = "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
# What docs/widget.md says that the web chat needs on somebody else's page, and nothing more.
SITE_POLICY = (
    "default-src 'none'; script-src {web}; connect-src {web}; img-src 'self' {web}; style-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'; require-trusted-types-for 'script'"
)
RIGHT_TO_LEFT = ("ar", "fa", "he", "ur")


def phone_page(config: Config) -> Blueprint:
    page = Blueprint("phone", __name__, template_folder="templates", static_folder="static", static_url_path="/simulator/static")

    @page.after_request
    def keep_scripts_out(response):
        response.headers.setdefault("Content-Security-Policy", POLICY)
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @page.get("/")
    def root():
        return redirect("/simulator")

    @page.get("/simulator")
    def phone():
        """`person`: whose phone it is, by its place in the list. `bare`: nothing but the phone."""
        return render_template("phone.html", business=BUSINESS, person=request.args.get("person", type=int), bare="bare" in request.args)

    @page.get("/simulator/two")
    def two_phones():
        """One conversation is the bot's, the other a person's: both are seen at once."""
        return render_template("two.html", business=BUSINESS)

    @page.get("/simulator/site")
    def site():
        """Somebody else's website, with the web chat on it. `lang`: the page's language."""
        language = request.args.get("lang", "en")[:8]
        html = render_template(
            "site.html",
            business=BUSINESS,
            web=config.web_url,
            key=config.widget_key,
            language=language,
            right_to_left=language.partition("-")[0] in RIGHT_TO_LEFT,
        )
        return Response(html, headers={"Content-Security-Policy": SITE_POLICY.format(web=config.web_url)})

    @page.get("/simulator/notice")
    def notice():
        """Frontdesk's own proxy answers this with what stands in the way of an answer."""
        return jsonify(notice=None)

    return page
