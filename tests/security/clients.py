"""A call sent by the worker's client and by the triggerer's, for a fixture that has both."""

import asyncio

from airflow_provider_nanostt.api.transport import ONCE, AsyncClient, Client


def over_requests(call, config):
    with Client(config) as client:
        return client.send(call, retry=ONCE)


def over_aiohttp(call, config):
    async def send():
        async with AsyncClient(config) as client:
            return await client.send(call, retry=ONCE)

    return asyncio.run(send())
