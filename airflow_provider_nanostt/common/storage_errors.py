"""What the libraries of object stores raise, sorted: credentials, no such file, a condition that did not hold, others.

Decided here alone, by class and status, since each library has errors of its own: those of botocore, gcsfs and Azure
are partly no ``OSError``. No library is imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_provider_nanostt.common.errors import describe_exception

_REFUSED, _MISSING, _CONDITION_FAILED = frozenset({401, 403}), frozenset({404}), frozenset({409, 412})
_WRONG = frozenset({400, 405, 411, 413, 414})

_NO_CREDENTIALS = frozenset(
    {
        "ClientAuthenticationError",  # Azure
        "DefaultCredentialsError",  # Google
        "NoCredentialsError",  # botocore
        "PartialCredentialsError",
    }
)
_LASTING_KINDS = (
    FileNotFoundError,
    PermissionError,
    NotADirectoryError,
    IsADirectoryError,
    ValueError,
    TypeError,
    ImportError,
)
_LASTING_CLASSES = frozenset({"ParamValidationError", "ProfileNotFound"})  # botocore's, for a name that cannot be


class StoreError(OSError):
    """What the library of a store has raised that is no ``OSError`` of its own: class and text."""


def is_lasting(error: Exception) -> bool:
    """Whether another try would not fix it."""
    return (
        isinstance(error, _LASTING_KINDS)
        or isinstance(as_os_error(error), _LASTING_KINDS)
        or not _classes(error).isdisjoint(_LASTING_CLASSES)
        or (not isinstance(error, OSError) and status(error) in _WRONG)
    )


def is_condition_failed(error: Exception) -> bool:
    """Whether a store says that a write's condition does not hold, or that another write came between."""
    return isinstance(error, FileExistsError) or status(error) in _CONDITION_FAILED


def as_os_error(error: Exception) -> OSError:
    """Return the error of a store as one of Python's own for files; one that is one already stays as it is."""
    if isinstance(error, OSError) and not _is_gcs_refusal(error):
        return error
    code = status(error)
    kind: type[OSError] = StoreError
    if code in _REFUSED or _is_gcs_refusal(error) or not _classes(error).isdisjoint(_NO_CREDENTIALS):
        kind = PermissionError
    elif code in _MISSING:
        kind = FileNotFoundError
    return kind(describe_exception(error))


@contextmanager
def as_os_errors() -> Iterator[None]:
    """Raise what a store's library raises in the block as :func:`as_os_error` returns it."""
    try:
        yield
    except Exception as error:
        sorted_error = as_os_error(error)
        if sorted_error is error:
            raise
        raise sorted_error from error


def status(error: BaseException) -> int | None:
    """Return the HTTP status of a store's answer, None if there was none."""
    for one in (error, error.__cause__):
        response = getattr(one, "response", None)
        metadata = response.get("ResponseMetadata") if isinstance(response, dict) else None  # botocore, under s3fs
        named = metadata.get("HTTPStatusCode") if isinstance(metadata, dict) else None
        for found in (named, getattr(one, "status_code", None), getattr(one, "code", None)):  # the latter: Azure, gcsfs
            if isinstance(found, int | str) and str(found).isdecimal():
                return int(found)
    return None


def _is_gcs_refusal(error: Exception) -> bool:
    """Whether it is gcsfs's error for the status 403, which it says in the text alone."""
    return type(error) is OSError and error.errno is None and str(error).startswith("Forbidden")


def _classes(error: Exception) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__}
