// Verifies tokens with jose, as a service does: reads one token per line from standard input, and writes its subject or
// `refused` to standard output. Usage: identity.mjs URL, the address of the public keys.
import { createInterface } from "node:readline";
const { createRemoteJWKSet, jwtVerify } = await import(process.env.JOSE);

// By default jose fetches the keys again for an unknown id at most every 30 seconds, which this test does not wait for.
const keys = createRemoteJWKSet(new URL(process.argv[2]), { cooldownDuration: 0 });
for await (const line of createInterface({ input: process.stdin })) {
  try {
    const options = { issuer: "keyhouse", algorithms: ["EdDSA"], requiredClaims: ["exp", "iat", "sub"] };
    console.log((await jwtVerify(line.trim(), keys, options)).payload.sub);
  } catch (error) {
    console.error("refused", error.code);
    console.log("refused");
  }
}
