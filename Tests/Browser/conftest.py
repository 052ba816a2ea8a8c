"""Starts the services once for all browser tests, unless TRANSFER_WEB_URL says where they run."""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

import pytest
from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCREENSHOTS = ROOT / ".build" / "screenshots"


def free_port():
    # Below those from which the system takes the ports of connections: one of them could have it before the server
    # does.
    for port in random.sample(range(20_000, 32_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no free port")


def wait_for(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def answers(url):
    try:
        return urllib.request.urlopen(url, timeout=2).status == 200
    except OSError:
        return False


@contextlib.contextmanager
def running(command, url, **options):
    """A server of a test's own, from when it answers until the test is done with it."""
    server = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, **options)
    try:
        wait_for(lambda: answers(f"{url}/health"), 20, "the start of the server")
        yield url
    finally:
        server.terminate()
        assert server.wait(20) == 0


class Services:
    def __init__(self, url, process=None, state=None, histories=None, frontend=None):
        self.url = url
        self.frontend = frontend
        self.histories = histories
        self.process = process
        self.state = state

    def workers(self):
        """The ids of the worker processes that we started, and of no others."""
        return [pid for pid, command in self.processes() if command[0].endswith(b"bank-worker")
                and b"supervise" not in command]

    def processes(self):
        """The id and the arguments of each process that ./start_services.sh has started."""
        if self.process is None:
            pytest.skip("these services were not started here, so that nothing is done to their processes")
        found, family = [], {self.process.pid}
        for _ in range(4):
            for entry in pathlib.Path("/proc").iterdir():
                if not entry.name.isdigit():
                    continue
                try:
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                    command = (entry / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
                except OSError:
                    continue
                if parent in family and int(entry.name) not in family:
                    family.add(int(entry.name))
                    found.append((int(entry.name), command))
        return found


@pytest.fixture(scope="session")
def services():
    if url := os.environ.get("TRANSFER_WEB_URL"):
        yield Services(url.rstrip("/"))
        return
    ports = {
        name: str(free_port())
        for name in (
            "ACCOUNT_API_PORT", "TRANSFER_WEB_PORT", "HISTORY_WEB_PORT", "PERDURE_PG_PORT", "PERDURE_FRONTEND_PORT")
    }
    # A cluster of the tests' own, whatever the environment or .env names and whatever runs here already. The server's
    # user has to get in.
    state = pathlib.Path(tempfile.mkdtemp(prefix="perdure-browser-"))
    state.chmod(0o755)
    environment = os.environ | ports | {"DATABASE_URL": "", "PERDURE_STATE": str(state)}
    environment["ACCOUNT_API_URL"] = f"http://127.0.0.1:{ports['ACCOUNT_API_PORT']}"
    environment["HISTORY_WEB_URL"] = f"http://127.0.0.1:{ports['HISTORY_WEB_PORT']}"
    environment["PERDURE_LEASE_SECONDS"] = "3"
    log = open(ROOT / ".build" / "browser-services.log", "w")
    process = subprocess.Popen(
        [str(ROOT / "start_services.sh"), "--python"], cwd=ROOT, env=environment, stdout=log, stderr=log,
        stdin=subprocess.DEVNULL, start_new_session=True,
        # Ctrl-C stops it, even where the tests run in the background of a script, whose children ignore that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    url = f"http://127.0.0.1:{ports['TRANSFER_WEB_PORT']}"
    try:
        servers = [url, environment["HISTORY_WEB_URL"], environment["ACCOUNT_API_URL"]]
        wait_for(lambda: process.poll() is not None or all(answers(f"{server}/health") for server in servers), 900,
                 "the start of the services")
        assert process.poll() is None, f"start_services.sh ended; see {log.name}"
        yield Services(
            url, process, state, environment["HISTORY_WEB_URL"], f"127.0.0.1:{ports['PERDURE_FRONTEND_PORT']}")
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise AssertionError(f"Ctrl-C did not stop the services; see {log.name}") from None
        log.close()
        shutil.rmtree(state, ignore_errors=True)


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, services):
    """Opens the page and fails the test if the browser reports an error, a broken security policy among them."""
    contexts, problems = [], []

    def open_page(path="/", width=1600, height=1000, scheme="light", **options):
        context = browser.new_context(
            base_url=services.url, viewport={"width": width, "height": height}, color_scheme=scheme, **options)
        contexts.append(context)
        page = context.new_page()
        # A refused request is an answer that the page shows, not a fault of the page.
        page.on("console", lambda message: problems.append(message.text)
                if message.type == "error" and "Failed to load resource" not in message.text else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(path)
        page.wait_for_selector("#live[data-state=live]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not problems, problems


@pytest.fixture
def screenshot():
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return lambda page, name, **options: page.screenshot(path=SCREENSHOTS / f"{name}.png", **options)
