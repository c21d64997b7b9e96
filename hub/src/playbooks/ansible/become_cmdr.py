"""Has the agent run a command as somebody else, without sudo on the host."""

DOCUMENTATION = """
name: cmdr
author: Commander
short_description: the agent becomes the user
description:
  - Marks a command for the connection, which tells the agent as whom to run it.
options:
  become_user:
    description: As whom.
    default: root
    vars:
      - name: ansible_become_user
    env:
      - name: ANSIBLE_BECOME_USER
    keyword:
      - name: become_user
  become_pass:
    description: Not asked for.
    vars:
      - name: ansible_become_password
"""

import uuid

from ansible.plugins.become import BecomeBase


class BecomeModule(BecomeBase):
    name = "cmdr"

    def build_become_command(self, cmd, shell):
        super().build_become_command(cmd, shell)
        if not cmd:
            return cmd
        # Nobody who writes a command can know it.
        self.cmdr_mark = "cmdr-%s:" % uuid.uuid4().hex
        self.cmdr_user = self.get_option("become_user") or "root"
        return self.cmdr_mark + cmd
