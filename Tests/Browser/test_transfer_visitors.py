"""Who looks at the transfer page: read-only pages, and the name that a proxy gives, in a real Chromium."""

import os
import pathlib

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from conftest import free_port, running


@pytest.fixture
def serving(services):
    """Starts another transfer-web beside the running one, with the same environment but for some settings."""
    pid, command = next(
        (pid, command) for pid, command in services.processes() if command[0].endswith(b"transfer-web"))
    process = pathlib.Path(f"/proc/{pid}")
    environment = dict(entry.split("=", 1) for entry in (process / "environ").read_text().split("\0") if "=" in entry)

    def serving(**settings):
        port = free_port()
        return running(
            [argument.decode() for argument in command], f"http://127.0.0.1:{port}",
            executable=os.readlink(process / "exe"), env=environment | {"TRANSFER_WEB_PORT": str(port)} | settings)

    return serving


def test_read_only_transfer_pages_offer_nothing_and_refuse(serving, open_page, screenshot):
    with serving(PERDURE_WEB_READ_ONLY="1") as url:
        page = open_page(url + "/")
        for path in ["/", "/compare", "/workers", "/books", "/tour"]:
            page.goto(url + path)
            expect(page.locator("h1")).to_be_visible()
            for name in ["Transfer", "Run batch", "Reset…", "Crash"]:
                expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
            expect(page.get_by_role("switch")).to_have_count(0)
            expect(page.locator("main form[method=post]:visible")).to_have_count(0)
            assert not Axe().run(page).response["violations"], path
        page.goto(url + "/")
        screenshot(page, "transfer-page-read-only", full_page=True)
        for path in ["/api/transfers", "/api/batch", "/api/reset", "/compare"]:
            answer = page.request.post(url + path, headers={"Origin": url}, data={})
            assert answer.status == 403 and "read-only" in answer.text(), (path, answer.status, answer.text())


def test_person_of_the_proxy_starts_the_transfer(serving, open_page, services):
    with serving(PERDURE_WEB_USER_HEADER="X-Forwarded-User") as url:
        page = open_page(url + "/", extra_http_headers={"X-Forwarded-User": "Ada Lovelace"})
        page.get_by_label("From", exact=True).select_option("account_B")
        page.get_by_label("To", exact=True).select_option("account_C")
        page.get_by_label("Amount").fill("1.23")
        page.get_by_role("button", name="Transfer", exact=True).click()
        expect(page.locator("#outcome")).to_contain_text("Started: 1.23 from Account B to Account C")
        page.locator("li", has_text="1.23").get_by_role("link").first.click()
        expect(page.locator("#run-title")).to_contain_text("transfer-")
        history = page.request.get(page.url.split("?")[0].rstrip("/") + "/history.json").json()
        started = history["events"][0]["workflowExecutionStartedEventAttributes"]
        assert started["identity"] == "Ada Lovelace"
        # A name that cannot be an identity changes nothing.
        answer = page.request.post(
            url + "/api/transfers", headers={"Origin": url, "X-Forwarded-User": "a" * 2000},
            data={"fromAccount": "account_B", "toAccount": "account_C", "amount": "1.24"})
        assert answer.status == 400 and "x-forwarded-user" in answer.text().lower(), answer.text()
