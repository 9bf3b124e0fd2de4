"""What Headrace is held against: each peer a folder of programs, written as its own documentation advises, importing nothing of ours.

They run with this folder on their path: `orders` is what their producers share; `percall` is the one-call-per-command way;
`pyes`, `celerysqs` and `taskiqsqs` are other people's libraries, in an environment of their own (`requirements.lock`).
"""
