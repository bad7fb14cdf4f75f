"""Certificates: the three files a process shows itself with, looked at again when renewed, and what is made of them.

Knows no service, and not where certificates come from: `provost certs` makes some, and so does Vault (chassis.vault).
"""
