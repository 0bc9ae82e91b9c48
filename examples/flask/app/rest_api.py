"""A service that keeps records of patients: an ordinary Flask application, which knows nothing of enclaves.

``POST /patient/ID`` takes a form with the fields below, once for each patient; ``GET /patient/ID`` gives the record,
and ``GET /score/ID`` the patient's score alone. Records are in memory, and are gone when the service ends.
"""

from __future__ import annotations

import os
import random
import threading
from typing import TYPE_CHECKING

from flask import Flask, jsonify, request

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

FIELDS = (
    "fname",
    "lname",
    "address",
    "city",
    "state",
    "ssn",
    "email",
    "dob",
    "contactphone",
    "drugallergies",
    "preexistingconditions",
    "dateadmitted",
    "insurancedetails",
)

app = Flask(__name__)
patients: dict[str, dict[str, str | float]] = {}
lock = threading.Lock()


@app.post("/patient/<patient_id>")
def add(patient_id: str) -> ResponseReturnValue:
    """Take a record."""
    missing = [field for field in FIELDS if field not in request.form]
    if missing:
        return jsonify(error=f"missing: {', '.join(missing)}"), 400
    record: dict[str, str | float] = {field: request.form[field] for field in FIELDS}
    with lock:
        if patient_id in patients:
            return jsonify(error="already exists"), 403
        patients[patient_id] = {**record, "score": random.random()}  # noqa: S311 (it stands for a real one)
    return jsonify(patients[patient_id] | {"id": patient_id})


@app.get("/patient/<patient_id>")
def show(patient_id: str) -> ResponseReturnValue:
    """Give a record."""
    record = patients.get(patient_id)
    if record is None:
        return jsonify(error="unknown patient_id"), 404
    return jsonify(record | {"id": patient_id})


@app.get("/score/<patient_id>")
def score(patient_id: str) -> ResponseReturnValue:
    """Give a score."""
    record = patients.get(patient_id)
    if record is None:
        return jsonify(error="unknown patient"), 404
    return jsonify(id=patient_id, score=record["score"])


if __name__ == "__main__":
    tls = os.environ.get("TLS_DIRECTORY", "/tls")
    app.run(host="0.0.0.0", port=4996, threaded=True, ssl_context=(f"{tls}/flask.crt", f"{tls}/flask.key"))  # noqa: S104
