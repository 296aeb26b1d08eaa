"""Chunks as loaders of documents read them: text is text, every value is beside it, and a later index replaces."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_provider_nanostt.common import object_storage
from airflow_provider_nanostt.outputs import OutputSettings, write_outputs
from tests.outputs.call import CALL
from tests.outputs.talk import talk
from tests.readers.conftest import reader

pytestmark = pytest.mark.airflow


@pytest.fixture
def folder(tmp_path):
    """Two recordings as chunks, of one of which the model was unsure, with the other files beside them."""
    settings, sure = OutputSettings(formats=("txt", "chunks", "whisperx")), talk(3_000)
    unsure = replace(sure, words=tuple(replace(word, confidence=0.7) for word in sure.words))
    for source, transcript in (("talk.wav", unsure), ("call.wav", CALL)):
        write_outputs(
            transcript, folder=object_storage.resolve(str(tmp_path)), source=source, identity=None, settings=settings
        )
    return tmp_path


def chunks_in(*files: Path) -> list[dict]:
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_airflows_document_loader_reads_them_without_code(folder):
    """By a pattern and the name of the text; the values are the metadata, ready for an embedding and a vector store."""
    loader = reader("airflow.providers.common.ai.operators.document_loader")
    load = loader.DocumentLoaderOperator(task_id="load", source_path=f"{folder}/*.chunks.jsonl", json_text_field="text")
    documents = load.execute({})
    written = chunks_in(*sorted(folder.glob("*.chunks.jsonl")))
    assert [one["text"] for one in documents] == [one["text"] for one in written]
    assert {chunk.get("confidence") for chunk in written} == {0.7, None}
    for document, chunk in zip(documents, written, strict=True):
        assert document["metadata"].items() >= {name: chunk[name] for name in chunk if name != "text"}.items()


def test_langchains_json_loader_reads_them_and_a_second_index_replaces(folder):
    """A vector store that has them twice has each once, and no value of theirs is too complex for one."""
    loaders, utils = reader("langchain_community.document_loaders"), reader("langchain_community.vectorstores.utils")
    file = folder / "talk.chunks.jsonl"
    loader = loaders.JSONLoader(
        file, jq_schema=".", content_key="text", json_lines=True,
        metadata_func=lambda chunk, _: {name: chunk[name] for name in chunk if name != "text"},
    )  # fmt: skip
    documents = loader.load()
    assert [{"text": one.page_content, **one.metadata} for one in documents] == chunks_in(file)
    assert utils.filter_complex_metadata(documents) == documents
    embeddings, stores = reader("langchain_core.embeddings"), reader("langchain_core.vectorstores")
    store = stores.InMemoryVectorStore(embeddings.DeterministicFakeEmbedding(size=8))
    for _ in range(2):
        store.add_documents(documents, ids=[one.metadata["id"] for one in documents])
    assert len(store.store) == len(documents) > 10


def test_llamaindexs_json_reader_reads_them(folder):
    """A document for each chunk; as nodes they have flat values, as its vector stores want them."""
    readers, schema = reader("llama_index.readers.json"), reader("llama_index.core.schema")
    stores = reader("llama_index.core.vector_stores.utils")
    for file in folder.glob("*.chunks.jsonl"):
        documents = readers.JSONReader(is_jsonl=True, clean_json=False).load_data(str(file))
        read = [json.loads(one.text) for one in documents]
        assert read == chunks_in(file)
        for chunk in read:
            node = schema.TextNode(text=chunk.pop("text"), id_=chunk["id"], metadata=chunk)
            assert stores.node_to_metadata_dict(node, flat_metadata=True).items() >= chunk.items()
