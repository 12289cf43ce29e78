"""Fast exact forward passes of parts of a base, each beside a `plain_...` twin that the tests compare it with."""
