"""`python -m workers.train run.json`: set the machine's manners, then hand the run to the method its kind names.

The same under torchrun. Started alone with a spec that asks for several processes, it starts them.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workers.program import Program, main
from workers.train.breakdowns import told
from workers.train.launch import is_member, launch, leave_when_peer_is_lost, member_file, processes_of
from workers.train.machine import set_manners
from workers.train.registry import find_method


def train(program: Program) -> Mapping[str, Any]:
    set_manners(program.run)
    if not is_member():
        with told():
            return find_method(program.run.kind)(program)
    try:
        with told():
            return find_method(program.run.kind)(program)
    except Exception as error:
        leave_when_peer_is_lost(error)
        raise


if __name__ == "__main__":
    given = Path(sys.argv[1])
    if is_member():
        main(train, [str(member_file(given))])
    elif (processes := processes_of(given)) > 1:
        launch(given, processes)
    else:
        main(train)
