"""Taskiq's side of the work: its broker and task, as a user would write them.

`taskiq worker benchmarks.peers.taskiq_app:broker` finds both. Taskiq is made for coroutines, so
the five writes of `work` are awaited here, through PyMongo's asynchronous client.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Final

from pymongo import AsyncMongoClient, ReturnDocument
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import DuplicateKeyError
from taskiq import AsyncBroker, SmartRetryMiddleware
from taskiq_redis import RedisStreamBroker

from benchmarks.peers import work
from benchmarks.peers.place import DATABASE, MONGO, Place
from benchmarks.peers.taskiq_peer import TASK
from benchmarks.peers.work import APPOINTMENTS, CHANGES, CONVERSIONS, EVENTS, Document, Message

ATTEMPTS: Final = 3


def broker_of(place: Place) -> AsyncBroker:
    """The broker on this place's Redis: a stream, the one of its brokers that acknowledges.

    A group that begins at `$`, the default, never sees what was sent before it was made.
    """
    broker = RedisStreamBroker(
        place.where.redis_url,
        queue_name=f"{place.database}:stream",
        consumer_group_name=place.database,
        consumer_id="0",
    ).with_middlewares(SmartRetryMiddleware(default_retry_count=ATTEMPTS))
    broker.register_task(perform, task_name=TASK, retry_on_error=True)
    return broker


def broker() -> AsyncBroker:
    """The broker of the place that this process is told of."""
    return broker_of(Place.from_environment())


async def perform(event: Message) -> None:
    """All of the work for one event; see `work.perform`."""
    fact, database = work.fact_of(event), our_database()
    try:
        await database[EVENTS].insert_one(work.event_document(event))
    except DuplicateKeyError:
        done = {"_id": fact.key, "done_at": {"$exists": True}}
        if await database[EVENTS].find_one(done, {"_id": 1}) is not None:
            return
    before = await database[APPOINTMENTS].find_one_and_update(
        {"_id": fact.appointment},
        work.appointment_update(fact),
        upsert=True,
        return_document=ReturnDocument.BEFORE,
    )
    row = work.change_row(fact, before)
    await database[CHANGES].update_one({"_id": row.pop("_id")}, {"$setOnInsert": row}, upsert=True)
    key, added = work.conversion(fact)
    await database[CONVERSIONS].update_one({"_id": key}, added, upsert=True)
    await database[EVENTS].update_one({"_id": fact.key}, work.done_mark())


@cache
def our_database() -> AsyncDatabase[Document]:
    """This process's database, connected at the first use."""
    client = AsyncMongoClient[Document](os.environ[MONGO], **work.DURABLE)
    return client[os.environ[DATABASE]]
