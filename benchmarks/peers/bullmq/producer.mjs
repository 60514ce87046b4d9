// Adds events to the queue: a line of JSON in is a list of them, a line out says how many.
// It ends with its input, and so with the process that feeds it.

import { createInterface } from 'node:readline';

import { Queue } from 'bullmq';

import { QUEUE, database, redis } from './place.mjs';

const queue = new Queue(QUEUE, {
  connection: redis(),
  prefix: database,
  defaultJobOptions: { attempts: 3, removeOnComplete: true, removeOnFail: { count: 1000 } },
});
queue.on('error', (error) => console.error(error));

for await (const line of createInterface({ input: process.stdin })) {
  const events = JSON.parse(line);
  if (events.length === 1) {
    await queue.add('event', events[0]);
  } else {
    await queue.addBulk(events.map((data) => ({ name: 'event', data })));
  }
  process.stdout.write(`${events.length}\n`);
}
await queue.close();
process.exit(0);
