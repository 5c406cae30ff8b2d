"""The page: a phone on which a newcomer is the customer, and a drawer in which things are made to go wrong."""

from flask import Blueprint, jsonify, redirect, render_template, request

from frontdesk.simulator.config import Config

BUSINESS = "Corner Bakery"
POLICY = "default-src 'self'; img-src 'self' data: blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'self'"


def phone_page(config: Config) -> Blueprint:
    page = Blueprint("phone", __name__, template_folder="templates", static_folder="static", static_url_path="/simulator/static")

    @page.after_request
    def keep_scripts_out(response):
        response.headers["Content-Security-Policy"] = POLICY
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

    @page.get("/simulator/notice")
    def notice():
        """Frontdesk's own proxy answers this with what stands in the way of an answer."""
        return jsonify(notice=None)

    return page
