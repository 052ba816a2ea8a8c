"""What ./start_services.sh has started: who connects to the database as what, and what others of the machine can
see."""

import os
import subprocess
import urllib.request

from playwright.sync_api import expect

from conftest import ROOT, wait_for


def test_the_programs_connect_as_members_of_their_roles(services):
    services.processes()  # Skips where they were started elsewhere.
    database = (services.state / "database_url").read_text().strip()

    def connected():
        # The history pages connect when somebody looks at them.
        urllib.request.urlopen(services.histories, timeout=10).close()
        return set(subprocess.run(
            ["psql", "-XAt", database, "-c", """
                select distinct a.usename || ' ' || a.application_name || ' ' || r.rolsuper
                from pg_stat_activity a join pg_roles r on r.rolname = a.usename where a.pid <> pg_backend_pid()
                and a.datname = current_database() and a.application_name <> ''"""],
            check=True, capture_output=True, text=True).stdout.split("\n")[:-1])

    expected = {
        "account_api perdure account-api false", "transfer_web perdure transfer-web false",
        "history_web perdure history-web false", "bank_worker perdure bank-worker false",
        "perdure_frontend perdure frontend false"}
    try:
        wait_for(lambda: expected <= connected(), 20, "the connections of all programs")
    except AssertionError as error:
        raise AssertionError(f"{error}: there are {sorted(connected())}") from None
    assert not [line for line in connected() if line.endswith("true")]


def test_no_password_stands_in_the_arguments_of_a_process(services):
    processes = services.processes()
    assert len(processes) >= 6
    secrets = [line.rpartition(":")[2] for line in (services.state / "pgpass").read_text().splitlines()]
    assert len(set(secrets)) == 6 and all(len(secret) >= 20 for secret in secrets)
    assert not [command for _, command in processes if any(secret.encode() in b" ".join(command) for secret in secrets)]
    # What is given to a person for psql, who puts it into an argument, has none either.
    assert not any(secret in (services.state / "database_url").read_text() for secret in secrets)
    assert (services.state / "pgpass").stat().st_mode & 0o077 == 0


def test_transfer_in_python_stands_beside_the_swift_one(services, open_page, screenshot):
    services.processes()  # Skips where they were started elsewhere.
    page = open_page()
    page.get_by_label("From", exact=True).select_option("account_D")
    page.get_by_label("To", exact=True).select_option("account_J")
    page.get_by_label("Amount").fill("2.22")
    page.get_by_role("button", name="Transfer", exact=True).click()
    expect(page.locator("#outcome")).to_contain_text("Started: 2.22")
    starter = subprocess.run(
        [str(services.state / "python/bin/python"), str(ROOT / "Examples/python-transfer/starter.py"),
         "account_D", "account_J", "1.11", "--id", "in-python"],
        env=os.environ | {"TEMPORAL_ADDRESS": services.frontend}, capture_output=True, text=True, timeout=60)
    assert starter.returncode == 0, starter.stdout + starter.stderr
    page.goto(services.histories + "/namespaces/default/workflows")
    rows = page.locator("#runs tbody tr")
    expect(rows.filter(has_text="in-python")).to_contain_text("PythonTransfer")
    expect(rows.filter(has_text="in-python")).to_contain_text("Completed")
    expect(rows.filter(has_text="TransferWorkflow").first).to_be_visible()
    screenshot(page, "python-transfer")
