"""What keeps a workflow from what is not its own.

    policy   what the operator allows            -> Rules of one attempt (pure: rules, refusals, status)
    lockdown applies Rules to this process       by mounts (what can be changed), landlock (files, signals, TCP),
                                                  call_filter, privileges
    probe    tries all of it in a child          -> Found -> Standing: what is in force on this kernel

A process that was confined stays so, and so does everything that it starts. The reasons are in
`docs/adr/0026-sandbox.md`.
"""
