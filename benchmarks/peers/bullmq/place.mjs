// Where this process works: what the one that started it has put into its environment.

import IORedis from 'ioredis';

export const QUEUE = 'events';
export const mongoUrl = process.env.PEER_MONGO_URL;
export const database = process.env.PEER_DATABASE;

/** A connection to Redis; a worker's must wait for ever, as BullMQ's documentation has it. */
export function redis() {
  return new IORedis(process.env.PEER_REDIS_URL, { maxRetriesPerRequest: null });
}
