// better-auth's API key plugin over its in-memory adapter, behind node:http: its fastest set-up. Argument: port. Prints the
// key, once it listens.
import { createServer } from 'node:http';
import { apiKey } from '@better-auth/api-key';
import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';

const auth = betterAuth({
  secret: 'a secret of the benchmark, 32 characters',
  baseURL: 'http://127.0.0.1',
  database: memoryAdapter({ user: [], session: [], account: [], verification: [], apikey: [] }),
  emailAndPassword: { enabled: true },
  telemetry: { enabled: false },
  plugins: [apiKey({ rateLimit: { enabled: false } })],
});
const { user } = await auth.api.signUpEmail({
  body: { name: 'Ada', email: 'ada@example.com', password: 'lamp river quiet stone' },
});
const { key } = await auth.api.createApiKey({ body: { name: 'K', userId: user.id } });

createServer(async (request, response) => {
  const sent = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const { valid, key: found } = sent ? await auth.api.verifyApiKey({ body: { key: sent } }) : { valid: false };
  response.writeHead(valid ? 200 : 401, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(valid ? { data: { id: found.id, createdAt: found.createdAt } } : { error: 'invalid' }));
}).listen(Number(process.argv[2]), '127.0.0.1', () => console.log(key));
