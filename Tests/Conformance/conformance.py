#!/usr/bin/env python3
"""Compares Perdure with Temporal's development server.

    Tests/Conformance/conformance.py --oracle 127.0.0.1:7333 --perdure 127.0.0.1:7233 [PROGRAM …]
"""

import argparse
import asyncio

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client

import activity_programs  # noqa: F401  Its programs register themselves.
import batch_programs  # noqa: F401
import chains  # noqa: F401  Its programs register themselves.
import children  # noqa: F401  Its programs register themselves.
import formats
import handing_over  # noqa: F401
import harness
import local_activity_programs  # noqa: F401
import outside  # noqa: F401
import programs
import resets  # noqa: F401  Its programs register themselves.
import update_programs  # noqa: F401  It adds its programs.
from leaving import leave


async def connect(address):
    client = await Client.connect(address, identity=harness.IDENTITY)
    types = {
        key.name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{key.indexed_value_type.name}")
        for key in programs.SEARCH_ATTRIBUTES + formats.MORE_SEARCH_ATTRIBUTES
    }
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(namespace="default", search_attributes=types))
    return client


async def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracle", required=True, help="address of Temporal's development server")
    parser.add_argument("--perdure", required=True, help="address of Perdure's frontend")
    parser.add_argument("programs", nargs="*", help="only these")
    arguments = parser.parse_args()
    if unknown := set(arguments.programs) - set(harness.PROGRAMS):
        parser.error(f"there is no program {', '.join(sorted(unknown))}")
    oracle, perdure = await asyncio.gather(connect(arguments.oracle), connect(arguments.perdure))
    found = await harness.compare(oracle, perdure, arguments.programs or list(harness.PROGRAMS))
    # On a busy machine a time-out may come where none was meant: a difference counts if it shows again, alone.
    again = [name for name, differences in found.items() if differences]
    found |= await harness.compare(oracle, perdure, again, at_once=1)
    failed = 0
    for name, differences in found.items():
        if differences:
            failed += 1
            print(f"not ok {name}")
            for difference in differences:
                print(f"    {difference}")
        else:
            print(f"ok {name}")
    print(f"{len(found) - failed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    leave(asyncio.run(main()))
