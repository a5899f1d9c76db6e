"""The document against the server: schemathesis makes requests from the one and judges the answers of the other."""

import schemathesis
from driver import echo_server as make_server
from hypothesis import HealthCheck, settings
from processes import Launch
from schemathesis.config import SchemathesisConfig

CONFIG = SchemathesisConfig.from_dict(
    {
        "checks": {
            # The door refuses what a JSON schema cannot say: fields that are known and not built, stop strings that are
            # empty, roles and parts that do not fit each other.
            "positive_data_acceptance": {"expected-statuses": ["2xx", 400, 401, 404]},
            "negative_data_rejection": {"expected-statuses": [400, 401, 404, 405, 413, 415]},
        },
        "generation": {"deterministic": True, "max-examples": 25},
    }
)
DOCUMENT = make_server().openapi()
api = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)


@api.parametrize()
@settings(suppress_health_check=list(HealthCheck), deadline=None)
def test_answers_are_as_the_document_says(case: schemathesis.Case, echo_server: Launch) -> None:
    case.call_and_validate(base_url=echo_server.url)
