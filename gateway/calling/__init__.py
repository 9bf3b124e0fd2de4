"""What the client (`gateway/client.py`) is made of: connections, repetition, shapes. Nothing of the server is imported here.

Read `shapes` (what comes back) and `failures` (what is raised), then `repeating` (when a request is sent again), then `connection`
and `pool` (HTTP/1.1 on sockets).
"""
