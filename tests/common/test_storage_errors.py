"""Every store's way to say no is sorted alike: what another try would not fix, and what it may."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import pytest

from airflow_provider_nanostt.api.errors import InvalidInput, LedgerError, StorageUnavailable
from airflow_provider_nanostt.common import object_storage
from tests.conftest import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.store


def gcs(code: int, text: str) -> Exception:
    return import_module("gcsfs.retry").HttpError({"code": code, "message": text})


def gcs_answer(code: int, text: bytes) -> Exception:
    validate = import_module("gcsfs.retry").validate_response
    with pytest.raises(Exception) as raised:  # noqa: PT011  whatever gcsfs makes of it
        validate(code, text, "b/calls/o/a.json")
    return raised.value


def azure(name: str, code: int | None = None) -> Exception:
    error = getattr(import_module("azure.core.exceptions"), name)(message="no")
    error.status_code = code
    return error


def named(module: str, name: str, *given: object, **options: object) -> Exception:
    return getattr(import_module(module), name)(*given, **options)


LASTING: dict[str, Callable[[], Exception]] = {
    "gcsfs 401": lambda: gcs(401, "Anonymous caller does not have access"),
    "gcsfs 403": lambda: gcs_answer(403, b"no access"),
    "gcsfs 404": lambda: gcs(404, "no bucket"),
    "gcsfs 400": lambda: gcs(400, "wrong name"),
    "google no key": lambda: named("google.auth.exceptions", "DefaultCredentialsError", "none"),
    "google revoked": lambda: named("google.auth.exceptions", "RefreshError", "invalid_grant"),
    "azure 403": lambda: azure("HttpResponseError", 403),
    "azure 401": lambda: azure("ClientAuthenticationError", 401),
    "azure no key": lambda: azure("ClientAuthenticationError"),
    "azure 404": lambda: azure("ResourceNotFoundError", 404),
    "botocore no key": lambda: named("botocore.exceptions", "NoCredentialsError"),
    "botocore name": lambda: named("botocore.exceptions", "ParamValidationError", report="wrong bucket"),
    "no permission": lambda: PermissionError("403"),
}
PASSING: dict[str, Callable[[], Exception]] = {
    "gcsfs 503": lambda: gcs(503, "Backend Error"),
    "gcsfs 429": lambda: gcs_answer(429, b"too many"),
    "google later": lambda: named("google.auth.exceptions", "RefreshError", "later", retryable=True),
    "google no line": lambda: named("google.auth.exceptions", "TransportError", "reset"),
    "azure 503": lambda: azure("HttpResponseError", 503),
    "azure login 503": lambda: azure("ClientAuthenticationError", 503),
    "azure no line": lambda: azure("ServiceRequestError"),
    "botocore no line": lambda: named("botocore.exceptions", "EndpointConnectionError", endpoint_url="http://x"),
    "slow down": lambda: OSError("503 Slow Down"),
    "timeout": lambda: TimeoutError("no answer"),
}


def raised(make: Callable[[], Exception]) -> Exception:
    try:
        return make()
    except ModuleNotFoundError as error:
        return pytest.skip(f"{error.name} is not installed")


@pytest.mark.parametrize("name", [*LASTING, *PASSING])
def test_an_error_is_worth_another_try_or_not(bucket, name):
    """With refused credentials a retry only waits; an error of a busy store passes by itself."""
    error, path = raised((LASTING | PASSING)[name]), object_storage.resolve("s3://calls/a.json")
    ours = object_storage.wrap_error(error, "it cannot be read", path)
    assert type(ours) is (InvalidInput if name in LASTING else StorageUnavailable)


@pytest.mark.parametrize("name", [*LASTING, *PASSING])
def test_an_error_of_a_store_is_no_damaged_record(bucket, name):
    """``force`` gives way to a damaged record, and must not where only the store did not answer."""
    Bucket.trouble["rb"] = raised((LASTING | PASSING)[name])
    file = object_storage.resolve("s3://calls/a.json")
    if "404" in name:
        assert object_storage.read(file) is None
        return
    with pytest.raises(OSError, match=r".") as caught:
        object_storage.read(file)
    assert isinstance(caught.value, PermissionError) == (
        name in LASTING and "400" not in name and "botocore name" not in name
    )
    assert LedgerError.of("it cannot be read", caught.value).damaged is False


def test_what_gcsfs_takes_for_a_wrong_value_is_no_damaged_record(bucket):
    """It raises a ValueError where Google's text has the word "invalid"."""
    Bucket.trouble["rb"] = raised(lambda: gcs_answer(400, b"invalid_grant"))
    with pytest.raises(OSError, match="invalid_grant") as caught:
        object_storage.read(object_storage.resolve("s3://calls/a.json"))
    assert LedgerError.of("it cannot be read", caught.value).damaged is False
