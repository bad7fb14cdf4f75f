"""Custom rules of policy sets in Rego, evaluated in a child process. `rules` is what plugs into the port.

`examining` looks a set over before it goes live; `plan` and `hearing` keep small what the child has to be asked;
`child` is the process as its parent sees it, `worker` what runs in it, with `functions` that the interpreter lacks.
"""
