"""Custom rules of policy sets in Rego, evaluated by OPA's own engine in a child process. `rules` plugs into the port.

`examining` looks a set over before it goes live; `plan` and `hearing` keep small what the child has to be asked;
`child` is the process as its parent sees it, `worker` what runs in it.
"""
