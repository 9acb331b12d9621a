"""Brokers with hooks: a configuration file, and where the tests' own hooks are."""

import json

from harness.broker import BIN

SHARED_OBJECTS = BIN.parent / "hooks"


def so(name, hook=None, **keys):
    """The hook tests/hooks/<name>.c."""
    return {"name": hook or name, "type": "so", "path": str(SHARED_OBJECTS / f"{name}.so"), **keys}


def config(tmp_path, *hooks, name="bourn.yaml"):
    """A file with these hooks, in this order. JSON is YAML."""
    file = tmp_path / name
    file.write_text(json.dumps({"hooks": list(hooks)}))
    return file
