"""A rule package whose rules behave as a test needs them to; it stands in for the real one in engine tests."""

CODES = {
    "TST001": "alpha_below_rank",
    "TST002": "wants_architecture",
    "TST003": "dropout_noted",
    "TST004": "only_in_preview",
    "TST005": "breaks_at_rank_13",
    "TST006": "rank_seen",
    "TST007": "wants_earlier_version",
    "TST008": "not_by_hand",
    "TST009": "without_adapter_too",
    "TST010": "",
}
