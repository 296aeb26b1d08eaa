"""The operator for YouTube videos, whose transcripts the service fetches itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.common.numbers import from_text
from airflow_provider_nanostt.common.parsing import as_mapping
from airflow_provider_nanostt.operators._base import NanoGPTOperator, TaskResult, arguments_of

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import Context
    from airflow_provider_nanostt.operators.options import OutputOptions, RecoveryPolicy


class YouTubeTranscribeOperator(NanoGPTOperator):
    """Fetch the transcripts of any number of YouTube videos: ten with a request, inside ten requests a minute.

    A video that has a transcript costs USD 0.01, one that has none costs nothing. Each has its own record in the
    ledger, as in :class:`~airflow_provider_nanostt.operators.TranscribeBatchOperator`, and a row in the manifest. Files
    are named after title and id of the video. The service answers at once: there is nothing to defer.

    :param urls: addresses of videos. (templated)
    :param output_path: the folder for results, ledger and manifest. (templated)
    :param formats: as for the batch operator; those with times, such as ``srt``, need ``estimated_captions`` in
        ``output_options``, since there are none. (templated)
    :param filename: pattern of the files' names; ``{name}`` is title and id. (templated)
    :param max_cost_usd: for all of them; it stops before the video that would exceed it. (templated)

    The other arguments, and what is returned, are as for the batch operator.
    """

    ui_color = "#d9e8f6"

    def __init__(
        self,
        *,
        urls: object,
        output_path: str,
        formats: Sequence[str] | str = ("json",),
        filename: str = "{name}",
        manifest: str = "manifest",
        manifest_formats: Sequence[Literal["jsonl", "csv", "parquet"]] | str = ("jsonl",),
        on_item_error: Literal["fail", "continue"] | str = "fail",
        skip_existing: bool | str = False,
        max_cost_usd: float | str | None = None,
        nanogpt_conn_id: str = "nanogpt_default",
        force: bool | str = False,
        output_options: OutputOptions | Mapping[str, object] | None = None,
        recovery_policy: RecoveryPolicy | Mapping[str, object] | None = None,
        **kwargs: Any,
    ) -> None:
        if "deferrable" in kwargs:
            raise TypeError("YouTubeTranscribeOperator has no argument 'deferrable': the service answers at once")
        super().__init__(**kwargs)
        self.urls = urls
        self.output_path = output_path
        self.formats = formats
        self.filename = filename
        self.manifest = manifest
        self.manifest_formats = manifest_formats
        self.on_item_error = on_item_error
        self.skip_existing = skip_existing
        self.max_cost_usd = max_cost_usd
        self.nanogpt_conn_id = nanogpt_conn_id
        self.force = force
        self.output_options = as_mapping(output_options)
        self.recovery_policy = as_mapping(recovery_policy)

    template_fields: Sequence[str] = arguments_of(__init__)

    def run_task(self, context: Context) -> TaskResult:
        """Fetch the transcripts."""
        from airflow_provider_nanostt.common.urls import redact
        from airflow_provider_nanostt.operators._arguments import read_arguments
        from airflow_provider_nanostt.operators._batch import finish_batch, open_batch
        from airflow_provider_nanostt.workflow.batch.youtube import fetch_videos, video_items

        urls = from_text(self.urls)
        if (
            isinstance(urls, str)
            or not isinstance(urls, Sequence)
            or not all(isinstance(url, str) and url.strip() for url in urls)
        ):
            raise errors.InvalidInput(f"urls must be a list of addresses, got {redact(repr(self.urls))}")
        arguments = read_arguments(self)
        if timed := arguments.settings.timed_formats:
            raise errors.InvalidInput(
                f"transcripts of videos come without times, so there can be no {' and '.join(timed)}. Set "
                "estimated_captions in output_options for captions with guessed times, or leave them out of formats"
            )
        run = open_batch(self, arguments, context)
        fetch_videos(run, video_items([str(url) for url in urls]))
        return finish_batch(self, arguments, context, run)
