"""One module a verb, found by being here.

A module of this package named after its verb has: `LINE` (one line of help), `PRIMARY` (the config it composes:
"trial", "sweep", or "results" of a verb that only looks at what is on the disk), `EXAMPLES` (command lines,
optional), `add_arguments(parser)` for flags of its own, and `run(config, arguments) -> exit code`.
`arguments.overrides` holds the user's Hydra overrides. Import what is heavy inside `run`: `viewpair --help` imports
every module here.
"""
