#!/usr/bin/env python3
"""Starts a transfer and waits for its end:

    python starter.py account_A account_B 25.00
"""

import argparse
import asyncio
import sys
import uuid

from temporalio.client import WorkflowFailureError

from transfer import TASK_QUEUE, PythonTransfer, Transfer
from worker import connect


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("from_account")
    parser.add_argument("to_account")
    parser.add_argument("amount", help="for example 25.00")
    parser.add_argument("--id", default=f"python-transfer-{uuid.uuid4().hex[:8]}", help="the workflow id")
    arguments = parser.parse_args()
    client = await connect()
    transfer = Transfer(arguments.from_account, arguments.to_account, arguments.amount)
    handle = await client.start_workflow(PythonTransfer.run, transfer, id=arguments.id, task_queue=TASK_QUEUE)
    print(f"started {handle.id}")
    try:
        print(await handle.result())
        return 0
    except WorkflowFailureError as error:
        print(f"failed: {error.cause}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
