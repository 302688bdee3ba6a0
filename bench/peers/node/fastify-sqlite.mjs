// Fastify and SQLite: each call hashes its token and looks the hash up by a prepared statement. Arguments: port, token,
// `log` or `quiet`.
import { createHash } from 'node:crypto';
import { DatabaseSync } from 'node:sqlite';
import Fastify from 'fastify';

const [port, token, log] = process.argv.slice(2);
const digest = (text) => createHash('sha256').update(text).digest();
const database = new DatabaseSync(':memory:');
database.exec(`CREATE TABLE keys (hash BLOB PRIMARY KEY, id TEXT, prefix TEXT, mode TEXT, scope TEXT, created TEXT) WITHOUT ROWID`);
database
  .prepare('INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?)')
  .run(digest(token), 'key_01kav9ft0028t5cy4tqkff04hm', token.slice(0, 11), 'live', 'read_write', '2026-11-24T09:30:00.000Z');
const find = database.prepare('SELECT * FROM keys WHERE hash = ?');

const app = Fastify({ logger: log === 'log' });
app.get('/api/v1/key', (request, reply) => {
  const sent = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const key = sent && find.get(digest(sent));
  if (!key) return reply.code(401).send({ error: { code: 'invalid_token' } });
  reply.headers({
    'x-ratelimit-limit': '1000000000',
    'x-ratelimit-remaining': '999999999',
    'x-ratelimit-reset': '1795512660',
    'x-request-id': request.id,
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
  });
  return { data: { id: key.id, prefix: key.prefix, mode: key.mode, scope: key.scope, createdAt: key.created } };
});
await app.listen({ host: '127.0.0.1', port: Number(port) });
