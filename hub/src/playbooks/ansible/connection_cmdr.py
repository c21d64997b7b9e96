"""Carries what a playbook does over the hub's link to the one host that the step is for."""

DOCUMENTATION = """
name: cmdr
author: Commander
short_description: over the hub's link
description:
  - Runs commands on the host of a step, and on no other.
extends_documentation_fragment:
  - connection_pipelining
"""

import json
import os
import select
import socket
import struct

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.connection import ConnectionBase

PIECE = 64 * 1024


def chunks(data):
    for at in range(0, len(data), PIECE):
        yield data[at:at + PIECE]


def contents(path):
    with open(path, "rb") as source:
        while True:
            piece = source.read(PIECE)
            if not piece:
                return
            yield piece


class Connection(ConnectionBase):
    transport = "cmdr"
    has_pipelining = True

    def _connect(self):
        host = self._play_context.remote_addr
        if host != os.environ["CMDR_HOST"]:
            raise AnsibleConnectionFailure(
                "a playbook of a runbook step reaches the host of the step alone, which is %s, not %s"
                % (os.environ["CMDR_HOST"], host))
        self._connected = True
        return self

    def _user(self):
        user = self._play_context.remote_user
        return None if not user or user == os.environ.get("CMDR_OWN_USER") else user

    def exec_command(self, cmd, in_data=None, sudoable=True):
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        user = self._user()
        mark = getattr(self.become, "cmdr_mark", None)
        if mark and mark in cmd:
            # The agent itself becomes somebody else.
            cmd, user = cmd.replace(mark, "", 1), self.become.cmdr_user
        out = []
        code, err = self._run(["/bin/sh", "-c", cmd], user, chunks(in_data or b""), out.append)
        return code, b"".join(out), err

    def put_file(self, in_path, out_path):
        super().put_file(in_path, out_path)
        self._copy(["dd", "of=" + out_path, "bs=65536"], out_path, contents(in_path), lambda piece: None)

    def fetch_file(self, in_path, out_path):
        super().fetch_file(in_path, out_path)
        with open(out_path, "wb") as target:
            self._copy(["dd", "if=" + in_path, "bs=65536"], in_path, iter(()), target.write)

    def close(self):
        self._connected = False

    def _copy(self, argv, path, given, taken):
        code, err = self._run(argv, self._user(), given, taken, file=True)
        if code:
            raise AnsibleError("%s: %s" % (path, err.decode("utf-8", "replace").strip()))

    def _run(self, argv, user, given, taken, file=False):
        """Runs one program over a connection of its own; its exit code and what it wrote to its standard error."""
        self._connect()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours:
            with theirs, socket.socket(fileno=os.dup(int(os.environ["CMDR_SOCKET"]))) as hub:
                socket.send_fds(hub, [b"c"], [theirs.fileno()])
            ours.setblocking(False)
            return self._talk(ours, {"argv": argv, "file": file}, user, given, taken)

    def _talk(self, ours, ask, user, given, taken):
        if user:
            ask["user"] = user
        pending, asked, err, got = frame(b"x", json.dumps(ask).encode()), False, [], b""
        while True:
            if not pending and not asked:
                piece = next(given, None)
                asked = piece is None
                pending = frame(b"z", b"") if asked else frame(b"i", piece)
            ready, free, _ = select.select([ours], [ours] if pending else [], [])
            if free:
                try:
                    pending = pending[ours.send(pending):]
                except BlockingIOError:
                    pass
                except OSError:
                    # It is over at the other end, which says why.
                    pending, asked = b"", True
            if not ready:
                continue
            try:
                more = ours.recv(PIECE)
            except BlockingIOError:
                continue
            except OSError:
                more = b""
            if not more:
                raise AnsibleConnectionFailure("the hub ended the connection")
            got += more
            while len(got) >= 5:
                kind, length = struct.unpack(">cI", got[:5])
                if len(got) < 5 + length:
                    break
                body, got = got[5:5 + length], got[5 + length:]
                if kind == b"o":
                    taken(body)
                elif kind == b"e":
                    err.append(body)
                elif kind == b"c":
                    return json.loads(body)["code"], b"".join(err)
                elif kind == b"f":
                    told = json.loads(body)
                    raise AnsibleConnectionFailure(told["why"])


def frame(kind, body):
    return struct.pack(">cI", kind, len(body)) + body
