#!/usr/bin/env python3
"""Whom the frontend lets in: TLS, certificates of clients, API keys, and which addresses it refuses to listen on.

    DATABASE_URL=… Tests/Conformance/security.py --frontend .build/debug/perdure-frontend --temporal TEMPORAL

Each test starts a frontend of its own, with certificates that openssl makes here, \
and drives it by Temporal's Python SDK.
"""

import argparse
import asyncio
import contextlib
import os
import pathlib
import secrets
import socket
import subprocess
import tempfile
import traceback
from datetime import timedelta

from temporalio import workflow
from temporalio.client import Client, TLSConfig
from temporalio.service import RPCError, RPCStatusCode
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from leaving import leave

TESTS = []


def test(function):
    TESTS.append(function)
    return function


@workflow.defn
class Hello:
    @workflow.run
    async def run(self, name: str) -> str:
        return f"Hello, {name}!"


class Place:
    """Files and programs that the tests share."""

    def __init__(self, frontend: str, temporal: str, folder: pathlib.Path):
        self.frontend, self.temporal, self.folder = frontend, temporal, folder
        for authority in ("ca", "other"):
            self.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={authority}",
                         "-keyout", f"{authority}.key", "-out", f"{authority}.pem")
        self.certificate("server", "ca", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        self.certificate("client", "ca")
        self.certificate("stranger", "other")
        self.keys = [secrets.token_hex(32), secrets.token_hex(32)]
        (folder / "keys").write_text(f"# the old one\n{self.keys[0]}\n\n{self.keys[1]}\n")

    def openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    def certificate(self, name, authority, extension="basicConstraints=CA:FALSE"):
        (self.folder / "extension").write_text(extension)
        self.openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                     "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                     "-CAcreateserial", "-days", "2", "-extfile", "extension", "-out", f"{name}.pem")

    def file(self, name):
        return str(self.folder / name)

    def bytes(self, name):
        return (self.folder / name).read_bytes()

    @property
    def tls(self):
        return {"PERDURE_FRONTEND_CERTIFICATE": self.file("server.pem"),
                "PERDURE_FRONTEND_KEY": self.file("server.key")}

    def trusting(self, client=None):
        pair = ({"client_cert": self.bytes(f"{client}.pem"), "client_private_key": self.bytes(f"{client}.key")}
                if client else {})
        return TLSConfig(server_root_ca_cert=self.bytes("ca.pem"), domain="localhost", **pair)

    @contextlib.asynccontextmanager
    async def serving(self, settings, host="127.0.0.1"):
        with socket.socket() as probe:
            probe.bind((host, 0))
            port = probe.getsockname()[1]
        log = open(self.folder / "log", "w+")
        process = await asyncio.create_subprocess_exec(
            self.frontend, stdout=log, stderr=log,
            env=os.environ | {"PERDURE_FRONTEND_PORT": str(port), "LOG_LEVEL": "debug"} | settings)
        try:
            for _ in range(300):
                assert process.returncode is None, f"it ended: {self.log()}"
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                await asyncio.sleep(0.1)
            yield f"localhost:{port}", process
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
            log.close()

    async def call(self, address, method):
        """The headers and trailers, and the body, of an empty request without a key, by curl: SDKs ask for more when
        they connect."""
        (self.folder / "empty").write_bytes(b"\0\0\0\0\0")
        process = await asyncio.create_subprocess_exec(
            "curl", "--silent", "--http2", "--cacert", self.file("ca.pem"), "--data-binary", "@" + self.file("empty"),
            "--header", "content-type: application/grpc", "--header", "te: trailers",
            "--dump-header", self.file("headers"), "--output", self.file("body"), f"https://{address}/{method}")
        assert await asyncio.wait_for(process.wait(), 20) == 0, process.returncode
        body = self.folder / "body"
        return (self.folder / "headers").read_text(), body.read_bytes() if body.exists() else b""

    def log(self):
        return (self.folder / "log").read_text()

    async def refuses(self, settings, *words):
        """That the frontend does not start with these settings, and says why in one line."""
        process = await asyncio.create_subprocess_exec(
            self.frontend, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            env=os.environ | {"PERDURE_FRONTEND_PORT": "0"} | settings)
        try:
            said, _ = await asyncio.wait_for(process.communicate(), 30)
        except asyncio.TimeoutError:
            process.kill()
            await process.wait()
            raise AssertionError(f"it started with {settings}") from None
        said = said.decode()
        assert process.returncode == 1, (process.returncode, said)
        assert len(said.splitlines()) == 1, said
        for word in words:
            assert word in said, (word, said)
        return said


async def runs(client):
    """A worker that runs a workflow."""
    queue = f"hello-{secrets.token_hex(4)}"
    async with Worker(
        client, task_queue=queue, workflows=[Hello], workflow_runner=UnsandboxedWorkflowRunner(),
        graceful_shutdown_timeout=timedelta(seconds=1),
    ):
        result = await asyncio.wait_for(client.execute_workflow(Hello.run, "Ada", id=queue, task_queue=queue), 60)
    assert result == "Hello, Ada!", result


async def is_unauthenticated(awaitable, words):
    try:
        await awaitable
    except RPCError as error:
        assert error.status == RPCStatusCode.UNAUTHENTICATED, (error.status, error)
        assert words in error.message, error.message
        return
    except RuntimeError as error:  # What connecting raises.
        assert "nauthenticated" in str(error) and words in str(error), error
        return
    raise AssertionError("it was let in")


async def cannot_connect(address, **options):
    try:
        await asyncio.wait_for(Client.connect(address, **options), 20)
    except (RuntimeError, RPCError, asyncio.TimeoutError):
        return
    raise AssertionError("it was let in")


@test
async def tls(place):
    async with place.serving(place.tls) as (address, _):
        await runs(await Client.connect(address, tls=place.trusting()))
        # A client that trusts another authority, and one without TLS.
        await cannot_connect(address, tls=TLSConfig(server_root_ca_cert=place.bytes("other.pem"), domain="localhost"))
        await cannot_connect(address)


@test
async def mutual_tls(place):
    async with place.serving(place.tls | {"PERDURE_FRONTEND_CLIENT_CA": place.file("ca.pem")}) as (address, _):
        await runs(await Client.connect(address, tls=place.trusting("client")))
        await cannot_connect(address, tls=place.trusting())
        await cannot_connect(address, tls=place.trusting("stranger"))
        done = await asyncio.create_subprocess_exec(
            place.temporal, "workflow", "count", "--address", address, "--tls-ca-path", place.file("ca.pem"),
            "--tls-cert-path", place.file("client.pem"), "--tls-key-path", place.file("client.key"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        said, _ = await done.communicate()
        assert said.startswith(b"Total: "), said


@test
async def api_keys(place):
    settings = place.tls | {"PERDURE_FRONTEND_API_KEYS_FILE": place.file("keys")}
    async with place.serving(settings) as (address, process):
        # Either key, so that one can be replaced by the other.
        for key in place.keys:
            await runs(await Client.connect(address, tls=place.trusting(), api_key=key))
        wrong = [place.keys[0][:-1], place.keys[0] + "0", place.keys[0][:-1] + "!", "x", place.keys[0].upper() + "A"]
        for key in wrong:
            await is_unauthenticated(
                Client.connect(address, tls=place.trusting(), api_key=key), "The API key is not one of this server's")
        await is_unauthenticated(Client.connect(address, tls=place.trusting()), "authorization: Bearer KEY")
        for header in (place.keys[0], f"Basic {place.keys[0]}"):
            await is_unauthenticated(
                Client.connect(address, tls=place.trusting(), rpc_metadata={"authorization": header}), "not one of")
        # Who only checks whether the server is well needs no key; nor does a method that is not there tell more than
        # others.
        health, body = await place.call(address, "grpc.health.v1.Health/Check")
        assert "grpc-status: 0" in health and body == b"\0\0\0\0\2\x08\1", (health, body)
        for method in ("GetSystemInfo", "ListDeployments"):
            refused, body = await place.call(address, f"temporal.api.workflowservice.v1.WorkflowService/{method}")
            assert "grpc-status: 16" in refused and not body, (refused, body)
        # The keys stand nowhere where others see them.
        shown = place.log() + pathlib.Path(f"/proc/{process.pid}/cmdline").read_text()
        assert not [key for key in place.keys + wrong if len(key) > 20 and key in shown], shown


@test
async def a_key_from_the_environment(place):
    async with place.serving({"PERDURE_FRONTEND_API_KEYS": place.keys[1]}) as (address, _):
        await runs(await Client.connect(address, api_key=place.keys[1], tls=False))
        await is_unauthenticated(Client.connect(address, api_key=place.keys[0], tls=False), "not one of")
        done = await asyncio.create_subprocess_exec(
            place.temporal, "workflow", "count", "--address", address, "--tls=false",
            env=os.environ | {"TEMPORAL_API_KEY": place.keys[1]}, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT)
        said, _ = await done.communicate()
        assert said.startswith(b"Total: "), said


@test
async def addresses(place):
    anywhere = {"PERDURE_FRONTEND_HOST": "0.0.0.0"}
    keys = {"PERDURE_FRONTEND_API_KEYS_FILE": place.file("keys")}
    await place.refuses(anywhere, "whoever reaches it may do anything", "PERDURE_FRONTEND_API_KEYS_FILE")
    await place.refuses(anywhere | place.tls, "whoever reaches it may do anything")
    await place.refuses(anywhere | keys, "for all to read", "PERDURE_FRONTEND_CERTIFICATE")
    await place.refuses(anywhere | {"PERDURE_FRONTEND_OPEN": "true"}, "whoever reaches it may do anything")
    for settings in (
        {"PERDURE_FRONTEND_OPEN": "yes"}, place.tls | keys,
        place.tls | {"PERDURE_FRONTEND_CLIENT_CA": place.file("ca.pem")},
    ):
        async with place.serving(anywhere | settings, "0.0.0.0"):
            pass


@test
async def settings(place):
    def written(text):
        (place.folder / "some-keys").write_text(text)
        return {"PERDURE_FRONTEND_API_KEYS_FILE": place.file("some-keys")}

    await place.refuses(written("# none\n\n"), "has no key")
    said = await place.refuses(written("tooshort"), "less than 16 bytes")
    assert "tooshort" not in said
    await place.refuses(written("é" * 20), "ASCII")
    await place.refuses({"PERDURE_FRONTEND_API_KEYS_FILE": place.file("nothing")}, "cannot be read")
    await place.refuses(written("x" * 20) | {"PERDURE_FRONTEND_API_KEYS": "y" * 20}, "not both")
    await place.refuses({"PERDURE_FRONTEND_CLIENT_CA": place.file("ca.pem")}, "PERDURE_FRONTEND_CERTIFICATE")
    await place.refuses(place.tls | {"PERDURE_FRONTEND_CLIENT_CA": place.file("nothing")}, "cannot be read")
    await place.refuses({"PERDURE_FRONTEND_CERTIFICATE": place.file("server.pem")}, "both")


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frontend", required=True)
    parser.add_argument("--temporal", required=True)
    parser.add_argument("tests", nargs="*", help="only these")
    arguments = parser.parse_args()
    failed = total = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Place(arguments.frontend, arguments.temporal, pathlib.Path(folder))
        for function in TESTS:
            if arguments.tests and function.__name__ not in arguments.tests:
                continue
            total += 1
            try:
                await function(place)
                print(f"ok security: {function.__name__}")
            except Exception:  # noqa: BLE001
                failed += 1
                print(f"not ok security: {function.__name__}")
                print("".join(f"    {line}\n" for line in traceback.format_exc().splitlines()))
    print(f"{total - failed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    leave(asyncio.run(main()))
