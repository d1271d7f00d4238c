"""An Asterisk queue's manager interface: are we let in, and is the queue there?"""

from __future__ import annotations

from appliance.config.settings import Queue
from appliance.dialers.ami import Ami, AmiError
from appliance.dialers.queue import PORT
from appliance.doctor.findings import Finding, Level


async def examine_queue(queue: Queue) -> Finding:
    """One log-in at the manager interface, and is there such a queue? Nothing is changed."""
    host, _, port = queue.manager.partition(":")
    try:
        ami = await Ami.open(host, int(port or PORT), queue.user, queue.password.get_secret_value())
    except AmiError as error:
        todo = "see manager.conf: the user, its secret, permit for this box's address, read and write = agent"
        return Finding("manager interface", Level.FAIL, str(error), todo)
    try:
        rows = await ami.ask_list("QueueStatus", Queue=queue.queue)
    except AmiError as error:
        todo = "the user needs read = agent and write = agent in manager.conf"
        return Finding("manager interface", Level.FAIL, f"QueueStatus: {error}", todo)
    finally:
        ami.close()
    if not any(row["Event"] == "QueueParams" for row in rows):
        return Finding("manager interface", Level.FAIL, f"there is no queue {queue.queue}", "check dialer.queue.queue")
    return Finding("manager interface", Level.PASS, f"the queue {queue.queue} is there")
