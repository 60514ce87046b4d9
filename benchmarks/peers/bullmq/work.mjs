// The work: five writes an event, majority and journal each. The same as `work.py`, which says why.

const SAME_STATUS = { created: 'scheduled', cancelled: 'canceled' };
const DUPLICATE_KEY = 11000;

/** Do all of the work for one event; again, where the queue delivers it again. */
export async function perform(db, event) {
  const fact = factOf(event);
  if (!(await record(db, event))) return;
  const before = await apply(db, fact);
  await keepChange(db, fact, before);
  await countConversion(db, fact);
  await markDone(db, fact);
}

/** What the event says of its appointment. */
function factOf(event) {
  const word = event.type.slice(event.type.lastIndexOf('.') + 1);
  const said = { status: SAME_STATUS[word] ?? word };
  for (const name of ['lead', 'channel']) {
    if (name in event.payload) said[name] = event.payload[name];
  }
  if ('starts_at' in event.payload) said.starts_at = new Date(event.payload.starts_at);
  return {
    key: event.key,
    tenant: event.tenant,
    appointment: `${event.tenant}:${event.entity_id}`,
    at: new Date(event.occurred_at),
    said,
  };
}

/** Keep the event; tells whether there is anything left to do for it. */
async function record(db, { key, ...kept }) {
  const occurred_at = new Date(kept.occurred_at);
  const events = db.collection('events');
  try {
    await events.insertOne({ ...kept, _id: key, occurred_at, begun_at: new Date() });
  } catch (error) {
    if (error.code !== DUPLICATE_KEY) throw error;
    return (await events.findOne({ _id: key, done_at: { $exists: true } })) === null;
  }
  return true;
}

/** Bring the appointment up to date; returns it as it was before. */
async function apply(db, fact) {
  const newer = { $gt: [fact.at, '$changed_at'] };
  const fields = { changed_at: { $max: ['$changed_at', fact.at] } };
  for (const [name, value] of Object.entries(fact.said)) {
    const told = { $literal: value };
    fields[name] = { $cond: [newer, told, { $ifNull: [`$${name}`, told] }] };
  }
  return db
    .collection('rs_appointments')
    .findOneAndUpdate({ _id: fact.appointment }, [{ $set: fields }], {
      upsert: true,
      returnDocument: 'before',
    });
}

/** Keep what changed, once however often we try. */
async function keepChange(db, fact, before) {
  const names = Object.keys(fact.said);
  const was = before && Object.fromEntries(names.map((name) => [name, before[name] ?? null]));
  const row = {
    key: fact.appointment,
    event: fact.key,
    valid_from: fact.at,
    state: fact.said,
    before: was,
  };
  const id = `${fact.appointment}|${fact.key}`;
  const changes = db.collection('rs_appointment_changes');
  await changes.updateOne({ _id: id }, { $setOnInsert: row }, { upsert: true });
}

/** One more of the outcome for its lead. */
async function countConversion(db, fact) {
  const { lead = 'none', channel = 'none', status } = fact.said;
  await db.collection('rs_lead_global_conversions').updateOne(
    { _id: `${fact.tenant}:${lead}:${channel}` },
    {
      $inc: { [`outcomes.${status}`]: 1 },
      $min: { first_at: fact.at },
      $max: { last_at: fact.at },
      $setOnInsert: { tenant: fact.tenant, lead, channel },
    },
    { upsert: true },
  );
}

/** Note that nothing is left to do for the event. */
async function markDone(db, fact) {
  const mark = { done_at: new Date(), worker: process.pid };
  await db.collection('events').updateOne({ _id: fact.key }, { $set: mark });
}
