"""What has to be started where nothing confines the program: the same entry, told the same but for the confinement. Pure.

The program has its environment, its limits, its folder and the way to the gateway as in every sandbox, so that the model
key stays in the gateway. It runs as the runner's user, reads and writes what that one may, and reaches the network.
"""

from coven_action.core.sandbox.request import START, Launch, Machine, Place, SandboxRequest, build_order


def build_unconfined(request: SandboxRequest, machine: Machine, place: Place) -> Launch:
    """Start the program without confining it.

    Args:
        request: What to start. Its binds say nothing here: the program sees the machine.
        machine: Where.
        place: The private folder of this program; its scratch stands for /tmp, and is removed afterwards.
    """
    order = (*build_order(request), ("env", f"TMPDIR={place.scratch}"))
    argv = (machine.python, "-I", "-S", "-c", START, machine.programs, place.order, "--", *request.argv)
    return Launch(argv, order)
