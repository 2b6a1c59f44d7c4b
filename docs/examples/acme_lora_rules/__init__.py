"""An example of a rule package of one's own: name it in `rule-packages`."""

CODES = {"ACM001": "rank_above_house_limit"}
