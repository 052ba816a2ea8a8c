"""How a program that has used Temporal's SDK ends."""

import os
import sys


def leave(failed):
    """Ends the process at once, with status 1 if something failed.

    A thread of the SDK that still runs while the interpreter ends now and then crashes it: "PyGILState_Release: thread
    state … must be current when releasing".
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1 if failed else 0)
