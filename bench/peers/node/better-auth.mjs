// better-auth's API key plugin behind node:http. Arguments: port; then `memory` for its fastest set-up, with its in-memory adapter
// and without its rate limit; or the path of a SQLite file, with the plugin's defaults and a limit that is never reached. Prints
// the key, once it listens.
import { createServer } from 'node:http';
import { DatabaseSync } from 'node:sqlite';
import { apiKey } from '@better-auth/api-key';
import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { getMigrations } from 'better-auth/db/migration';

const [port, storage] = process.argv.slice(2);
const inMemory = storage === 'memory';

function openSqlite() {
  const database = new DatabaseSync(storage);
  database.exec('PRAGMA journal_mode = WAL');
  return database;
}

const options = {
  secret: 'a secret of the benchmark, 32 characters',
  baseURL: 'http://127.0.0.1',
  database: inMemory
    ? memoryAdapter({ user: [], session: [], account: [], verification: [], apikey: [] })
    : openSqlite(),
  emailAndPassword: { enabled: true },
  telemetry: { enabled: false },
  plugins: [apiKey({ rateLimit: inMemory ? { enabled: false } : { timeWindow: 60_000, maxRequests: 1_000_000_000 } })],
};
if (!inMemory) await (await getMigrations(options)).runMigrations();
const auth = betterAuth(options);
const { user } = await auth.api.signUpEmail({
  body: { name: 'Ada', email: 'ada@example.com', password: 'lamp river quiet stone' },
});
const { key } = await auth.api.createApiKey({ body: { name: 'K', userId: user.id } });

createServer(async (request, response) => {
  const sent = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const { valid, key: found } = sent ? await auth.api.verifyApiKey({ body: { key: sent } }) : { valid: false };
  response.writeHead(valid ? 200 : 401, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(valid ? { data: { id: found.id, createdAt: found.createdAt } } : { error: 'invalid' }));
}).listen(Number(port), '127.0.0.1', () => console.log(key));
