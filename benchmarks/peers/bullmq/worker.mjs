// A BullMQ worker: 50 jobs side by side, as its documentation advises for work that waits.

import { Worker } from 'bullmq';
import { MongoClient } from 'mongodb';

import { QUEUE, database, mongoUrl, redis } from './place.mjs';
import { perform } from './work.mjs';

const CONCURRENCY = 50;

const client = new MongoClient(mongoUrl, { w: 'majority', journal: true });
await client.connect();
const db = client.db(database);

const worker = new Worker(QUEUE, (job) => perform(db, job.data), {
  connection: redis(),
  prefix: database,
  concurrency: CONCURRENCY,
});
worker.on('error', (error) => console.error(error));
worker.on('failed', (job, error) => console.error(`${job?.data.key}: ${error.message}`));

async function end() {
  await worker.close();
  await client.close();
  process.exit(0);
}
process.on('SIGTERM', end);
process.on('SIGINT', end);
