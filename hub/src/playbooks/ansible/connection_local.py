"""Stands in the place of Ansible's own connection to the machine it runs on: that is the hub's."""

DOCUMENTATION = """
name: local
author: Commander
short_description: not to be had
description:
  - Nothing is done on the hub's machine.
extends_documentation_fragment:
  - connection_pipelining
"""

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection import ConnectionBase

WHY = ("a playbook of a runbook step does nothing on the hub's own machine; "
       "connection: local and delegate_to: localhost are not to be had")


class Connection(ConnectionBase):
    transport = "local"
    has_pipelining = True

    def _connect(self):
        raise AnsibleConnectionFailure(WHY)

    def exec_command(self, cmd, in_data=None, sudoable=True):
        raise AnsibleConnectionFailure(WHY)

    def put_file(self, in_path, out_path):
        raise AnsibleConnectionFailure(WHY)

    def fetch_file(self, in_path, out_path):
        raise AnsibleConnectionFailure(WHY)

    def close(self):
        self._connected = False
