"""Print the schema of `loraplan.yaml`."""

import json
import sys

from loraplan.schema import plan_schema

sys.stdout.write(json.dumps(plan_schema(), indent=2) + "\n")
