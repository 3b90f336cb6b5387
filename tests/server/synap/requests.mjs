// Makes the requests that Synap's client for TypeScript makes, and says what came of them.

const [url] = process.argv.slice(2);

async function command(name, payload = {}) {
  const headers = {
    "Content-Type": "application/json",
    Accept: "application/json",
    "Accept-Encoding": "gzip",
  };
  const body = JSON.stringify({ command: name, request_id: crypto.randomUUID(), payload });
  const response = await fetch(`${url}/api/v1/command`, { method: "POST", headers, body });
  if (!response.ok) throw new Error(`HTTP ${response.status}`);
  const data = await response.json();
  if (!data.success) throw new Error(data.error);
  return data.payload;
}

const bytes = (text) => Array.from(new TextEncoder().encode(text));
const text = (payload) => new TextDecoder().decode(new Uint8Array(payload));

async function failure(name, payload) {
  return command(name, payload).then(
    () => null,
    (error) => error.message,
  );
}

const told = {};
told.health = (await (await fetch(`${url}/health`)).json()).status;

told.created = (await command("queue.create", { name: "jobs", config: {} })).success;
const { message_id } = await command("queue.publish", {
  queue: "jobs",
  payload: bytes(JSON.stringify({ file: "ü.mp4" })),
  priority: 9,
  headers: { source: "ts" },
});
const { message } = await command("queue.consume", { queue: "jobs", consumer_id: "w" });
told.same = message.id === message_id;
told.file = JSON.parse(text(message.payload)).file;
told.source = message.headers.source;
told.nacked = (
  await command("queue.nack", { queue: "jobs", message_id, requeue: true })
).success;
const again = await command("queue.consume", { queue: "jobs", consumer_id: "w" });
told.retries = again.message.retry_count;
told.acked = (await command("queue.ack", { queue: "jobs", message_id })).success;
told.empty = (await command("queue.consume", { queue: "jobs", consumer_id: "w" })).message;
told.depth = (await command("queue.stats", { queue: "jobs" })).depth;
told.queues = (await command("queue.list")).queues;
told.purged = (await command("queue.purge", { queue: "jobs" })).purged;
told.deleted = (await command("queue.delete", { queue: "jobs" })).deleted;

await command("kv.set", { key: "user", value: { name: "Ada" }, ttl: 60 });
told.user = JSON.parse(await command("kv.get", { key: "user" })).name;
told.count = (await command("kv.incr", { key: "n", amount: 5 })).value;
await command("kv.mset", { pairs: [{ key: "a", value: "x" }] });
told.many = (await command("kv.mget", { keys: ["a", "none"] })).values;
told.none = await command("kv.get", { key: "none" });

const hearing = new WebSocket(`${url.replace("http", "ws")}/pubsub/ws?topics=news.*`);
const frames = [];
const heard = new Promise((resolve, reject) => {
  hearing.onerror = reject;
  hearing.onmessage = async ({ data }) => {
    frames.push(JSON.parse(data));
    if (frames.length === 1)
      await command("pubsub.publish", { topic: "news.local", payload: { n: 1 } });
    else resolve();
  };
});
await heard;
told.heard = frames.map(({ type, payload }) => [type, payload?.n ?? null]);
hearing.close();

told.room = (await command("stream.get_or_create", { room: "chat" })).created;
told.offset = (await command("stream.publish", { room: "chat", event: "said", data: "hi" })).offset;
const { events } = await command("stream.consume", {
  room: "chat",
  subscriber_id: "s",
  from_offset: 0,
});
told.said = JSON.parse(text(events[0].data));

await command("transaction.multi", { client_id: "t" });
await command("kv.set", { key: "b", value: 1, client_id: "t" });
told.results = (await command("transaction.exec", { client_id: "t" })).results;

told.unknown = await failure("kv.incrby", { key: "n" });
console.log(JSON.stringify(told));
