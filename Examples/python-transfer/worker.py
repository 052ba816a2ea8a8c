#!/usr/bin/env python3
"""Runs transfers in Python until it is told to stop."""

import asyncio
import concurrent.futures
import logging
import os
import signal

from temporalio.client import Client
from temporalio.worker import Worker

from transfer import TASK_QUEUE, Accounts, PythonTransfer


async def connect() -> Client:
    """TEMPORAL_ADDRESS names the frontend; TEMPORAL_API_KEY is a key, where it asks for one."""
    return await Client.connect(
        os.environ.get("TEMPORAL_ADDRESS") or "127.0.0.1:7233", api_key=os.environ.get("TEMPORAL_API_KEY") or None,
        tls=bool(os.environ.get("TEMPORAL_TLS")))


async def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    client = await connect()
    accounts = Accounts()
    with concurrent.futures.ThreadPoolExecutor(20) as threads:
        async with Worker(
            client, task_queue=TASK_QUEUE, workflows=[PythonTransfer], activity_executor=threads,
            activities=[accounts.check_balance, accounts.withdraw, accounts.deposit, accounts.refund],
        ):
            logging.info("Transfers in Python run on the task queue %s", TASK_QUEUE)
            await stopped.wait()


if __name__ == "__main__":
    asyncio.run(main())
