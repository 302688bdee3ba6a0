// The same as refused_writes.py, with axios and a keep-alive agent. Usage: refused_writes.mjs URL

import http from "node:http";
import { pathToFileURL } from "node:url";

const { default: axios } = await import(pathToFileURL(process.env.AXIOS).href);
const ROUNDS = 150;
const url = process.argv[2];
const good = { Authorization: `Bearer ${process.env.TOKEN}` };
const json = { "Content-Type": "application/json" };
const refusals = [
  [{ Authorization: "Bearer pk_live_bad", ...json }, 401],
  [{ Authorization: `Bearer ${process.env.READ_ONLY_TOKEN}`, ...json }, 403],
  [{ ...good, "Content-Type": "text/plain" }, 415],
];
const client = axios.create({
  baseURL: url,
  timeout: 10_000,
  validateStatus: () => true,
  httpAgent: new http.Agent({ keepAlive: true }),
});
const product = JSON.stringify({ name: "x", unitPrice: 1, currency: "EUR" });
const wrong = new Map();

async function expect(status, what, call) {
  let seen;
  try {
    seen = (await client.request(call)).status;
  } catch (error) {
    seen = error.code ?? error.message;
  }
  if (seen !== status) {
    const line = `${what}: ${seen} instead of ${status}`;
    wrong.set(line, (wrong.get(line) ?? 0) + 1);
  }
}

for (const size of [20_000, 60_000, 500_000]) {
  const kinds = size > 65_536 ? [...refusals, [{ ...good, ...json }, 413]] : refusals;
  const data = Buffer.alloc(size, "x");
  for (let n = 0; n < ROUNDS; n += 1) {
    const [headers, status] = kinds[n % kinds.length];
    await expect(status, `a write of ${size} bytes`, { method: "post", url: "/api/v1/products", headers, data });
    const what = `the call after ${size} bytes`;
    if (n % 2 === 0) await expect(200, what, { method: "get", url: "/api/v1/key", headers: good });
    else await expect(201, what, { method: "post", url: "/api/v1/products", headers: { ...good, ...json }, data: product });
  }
}
for (const [line, count] of [...wrong].sort()) console.log(`${count} x ${line}`);
process.exit(wrong.size === 0 ? 0 : 1);
