"""The operator for YouTube videos, whose transcripts the service fetches itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_nanostt.api import errors
from airflow_provider_nanostt.operators.batch import TranscribeBatchOperator

if TYPE_CHECKING:
    from airflow_provider_nanostt._compat import Context
    from airflow_provider_nanostt.workflow.batch.run import BatchRun


class YouTubeTranscribeOperator(TranscribeBatchOperator):
    """Fetch the transcripts of any number of YouTube videos: ten with a request, inside ten requests a minute.

    A video that has a transcript costs USD 0.01, one that has none costs nothing. Each has its own record in the
    ledger, as in :class:`~airflow_provider_nanostt.operators.TranscribeBatchOperator`, and a row in the manifest. Files
    are named after title and id of the video. The service answers at once: there is nothing to defer.

    :param urls: addresses of videos. (templated)
    :param output: the folder for results, ledger and manifest. (templated)
    :param formats: ``json``, ``txt``, ``html``; ``srt`` and ``vtt`` need ``estimated_captions``, since there are no
        times. (templated)
    :param estimated_captions: guess the times of captions.
    :param captions: the reading rules of captions.
    :param name: pattern of the files' names; ``{name}`` is title and id. (templated)
    :param nanogpt_conn_id: the connection with the API key. (templated)
    :param manifest: as for the batch operator, like ``manifest_formats``, ``on_item_error`` and ``skip_existing``.
    :param max_cost: USD for all of them; it stops before the video that would exceed it. (templated)
    :param force: ask afresh, whatever was paid for before; once for each clear. (templated)
    :param on_ambiguous_submit: ``fail`` or ``resubmit`` if nobody knows whether the last request was charged.
    :return: as the batch operator.
    """

    _not_here = (
        "audio_path", "audio_url", "wait", "xcom_limit", "model", "language", "diarize", "tag_audio_events",
        "actual_duration", "oversize", "staging", "codec", "split_diarized", "max_cost_unknown", "check_balance_above",
        "signed_for", "speaker_names", "page_audio_url", "poll_interval", "timeout", "defer_after", "on_changed_input",
        "on_lost_job",
    )  # fmt: skip
    template_fields: Sequence[str] = (
        "urls",
        "output_location",
        "formats",
        "name",
        "nanogpt_conn_id",
        "manifest",
        "skip_existing",
        "max_cost",
        "force",
    )

    def __init__(
        self,
        *,
        urls: Any,
        output: str,
        formats: Sequence[str] | str = ("json",),
        estimated_captions: bool = False,
        captions: Any = None,
        name: str = "{name}",
        nanogpt_conn_id: str = "nanogpt_default",
        manifest: str = "manifest",
        manifest_formats: Sequence[str] = ("jsonl",),
        on_item_error: str = "fail",
        skip_existing: bool | str = False,
        max_cost: float | str | None = None,
        force: bool | str = False,
        on_ambiguous_submit: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            audio=None,
            output=output,
            formats=formats,
            estimated_captions=estimated_captions,
            captions=captions,
            name=name,
            nanogpt_conn_id=nanogpt_conn_id,
            manifest=manifest,
            manifest_formats=manifest_formats,
            on_item_error=on_item_error,
            skip_existing=skip_existing,
            max_cost=max_cost,
            force=force,
            on_ambiguous_submit=on_ambiguous_submit,
            deferrable=False,
            **kwargs,
        )
        self.urls = urls

    def _execute(self, context: Context) -> dict[str, Any]:
        from airflow_provider_nanostt.outputs.settings import CAPTION_FORMATS
        from airflow_provider_nanostt.workflow.batch.youtube import Video

        urls: Sequence[Any] = (
            self.urls if isinstance(self.urls, Sequence) and not isinstance(self.urls, str) else [None]
        )
        if not all(isinstance(url, str) and url.strip() for url in urls):
            raise errors.InvalidInput(
                f"urls={self.urls!r} is not a list of addresses; a template gives one with "
                "render_template_as_native_obj=True"
            )
        captions = [name for name in CAPTION_FORMATS if name in self._output_settings().formats]
        if captions and not self.estimated_captions:
            raise errors.InvalidInput(
                f"transcripts of videos come without times, so there can be no {' and '.join(captions)}. Set "
                "estimated_captions=True for captions with guessed times, or leave them out of formats"
            )
        run, folder, _ = self._batch(context, self._wait_settings())
        run.begin([Video(url.strip()) for url in urls])
        return self._finish(run, folder)

    def _run_class(self) -> type[BatchRun]:
        from airflow_provider_nanostt.workflow.batch.youtube import VideoRun

        return VideoRun
