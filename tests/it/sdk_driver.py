"""Drives an authority with the vendor's published Python SDK, and prints what came of it as one JSON object.

Usage: sdk_driver.py URL, with TO_API_KEY, LICENSE_KEY, UNKNOWN_KEY and LICENSE_ID in the environment.
"""

import json
import os
import sys

from traffic_orchestrator import TrafficOrchestrator, TrafficOrchestratorError, __version__

KEY = os.environ["LICENSE_KEY"]
UNKNOWN_KEY = os.environ["UNKNOWN_KEY"]
LICENSE_ID = os.environ["LICENSE_ID"]


def outcome(call):
    """What a call returned, or what it raised."""
    try:
        return {"returned": call()}
    except TrafficOrchestratorError as error:
        return {"raised": str(error), "code": error.code, "status": error.status}
    except Exception as error:  # a broken answer shows as whatever `requests` makes of it
        return {"broke": f"{type(error).__name__}: {error}"}


def main(url):
    # No retries: what does not work at once is a difference between the server and the SDK.
    sdk = TrafficOrchestrator(api_url=url, api_key=os.environ["TO_API_KEY"], retries=0)
    anonymous = TrafficOrchestrator(api_url=url, retries=0)
    print(
        json.dumps(
            {
                "version": __version__,
                "health": outcome(anonymous.health_check),
                "validate": outcome(lambda: sdk.validate_license(KEY, domain="app.com")),
                "validate_without_domain": outcome(lambda: anonymous.validate_license(KEY)),
                "validate_other_domain": outcome(lambda: sdk.validate_license(KEY, domain="notapp.com.evil.example")),
                "validate_unknown": outcome(lambda: anonymous.validate_license(UNKNOWN_KEY, domain="app.com")),
                "list": outcome(sdk.list_licenses),
                "list_anonymous": outcome(anonymous.list_licenses),
                "one": outcome(lambda: sdk.get_domains(LICENSE_ID)),
                "create": outcome(lambda: sdk.create_license("Sample", domain="new.app.com", plan_id="starter")),
                "add_domain": outcome(lambda: sdk.add_domain(LICENSE_ID, "b.app.com")),
                "validate_added_domain": outcome(lambda: sdk.validate_license(KEY, domain="b.app.com")),
                "remove_domain": outcome(lambda: sdk.remove_domain(LICENSE_ID, "b.app.com")),
                "usage": outcome(sdk.get_usage),
                "suspend": outcome(lambda: sdk.update_license_status(LICENSE_ID, "suspended")),
                "validate_suspended": outcome(lambda: sdk.validate_license(KEY, domain="app.com")),
                "resume": outcome(lambda: sdk.update_license_status(LICENSE_ID, "active")),
                "validate_resumed": outcome(lambda: sdk.validate_license(KEY, domain="app.com")),
                # Last, because the vendor says that the old key stops at once.
                "rotate": outcome(lambda: sdk.rotate_license(LICENSE_ID)),
            }
        )
    )


main(sys.argv[1])
