"""The built-in rules: one module a rule, named here by code."""

CODES: dict[str, str] = {
    "ALP001": "adapter.scaling_out_of_range",
}
