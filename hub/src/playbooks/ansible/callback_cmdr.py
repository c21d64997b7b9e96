"""Tells the hub what was counted, and the task that failed."""

DOCUMENTATION = """
name: cmdr
author: Commander
type: aggregate
short_description: tells the hub how a playbook ended
description:
  - Sends one message when the playbook is over.
"""

import json
import os
import socket

from ansible.plugins.callback import CallbackBase

LONGEST = 2000


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "cmdr"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.task, self.message = "", ""

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if not ignore_errors:
            self._failed(result)

    def v2_runner_on_unreachable(self, result):
        self._failed(result)

    def _failed(self, result):
        told = getattr(result, "_result", None)
        if told is None:
            told = result.result
        task = getattr(result, "_task", None) or result.task
        parts = [told]
        parts += [item for item in told.get("results") or [] if isinstance(item, dict) and item.get("failed")]
        said = ""
        for part in reversed(parts):
            for key in ("msg", "censored", "stderr", "module_stderr"):
                text = str(part.get(key) or "").strip()
                if text and text not in said:
                    said = text if not said else said + ": " + text
            if said:
                break
        self.task, self.message = str(task.get_name())[:LONGEST], said[:LONGEST]

    def v2_playbook_on_stats(self, stats):
        counts = {"hosts": len(stats.processed), "task": self.task, "message": self.message}
        for key, by_host in (("ok", stats.ok), ("changed", stats.changed), ("skipped", stats.skipped),
                             ("failures", stats.failures), ("unreachable", stats.dark)):
            counts[key] = sum(by_host.values())
        with socket.socket(fileno=os.dup(int(os.environ["CMDR_SOCKET"]))) as hub:
            hub.sendall(b"r" + json.dumps(counts).encode())
