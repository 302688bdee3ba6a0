// The page of a key, the team's requests and the actions on a key, in a real browser: with and without usage, light and dark,
// narrow and wide, with an engine for accessibility. Pictures go to $SHOTS.
import { execFileSync } from "node:child_process";
import { join } from "node:path";

import { call, check, inspect, launch, open, start, story } from "./dashboard_kit.mjs";

const demo = await start("demo");
const { base, team } = demo;
const KEYS = `${base}/t/${team.slug}/settings/integrations/api-keys`;
const REQUESTS = `${base}/t/${team.slug}/settings/integrations/requests`;
const browser = await launch();

const owner = await open(browser, base, { reducedMotion: "reduce", expected: ["404", "409", "422"] });
await owner.goto(demo.people.find((person) => person.role === "owner").link);
await owner.getByRole("button", { name: "Sign in" }).click();
await owner.waitForURL("**/products");

const look = async (page, name) => {
    for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        for (const width of [320, 768, 1440]) {
            await page.setViewportSize({ width, height: 900 });
            await inspect(page, `${name}, ${colorScheme}, ${width}`);
            if (process.env.SHOTS && width !== 768) {
                const path = join(process.env.SHOTS, `${name}-${width}-${colorScheme}.png`);
                await page.screenshot({ path, animations: "disabled", fullPage: true });
            }
        }
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.emulateMedia({ colorScheme: "light" });
};

const visit = async (page, url, name) => {
    await page.goto(url);
    await look(page, name);
};

const [live] = demo.keys;

await story("without usage", async () => {
    await visit(owner, `${KEYS}/${live.id}`, "key-empty");
    await visit(owner, REQUESTS, "requests-empty");
});

execFileSync("python3", [new URL("seed_usage.py", import.meta.url).pathname, demo.data, JSON.stringify(demo.keys.map((key) => key.id))]);

await story("with usage", async () => {
    await visit(owner, KEYS, "keys-full");
    await visit(owner, `${KEYS}/${live.id}`, "key-full");
    await visit(owner, `${KEYS}/${live.id}?days=90`, "key-90-days");
    await visit(owner, REQUESTS, "requests-full");
    await visit(owner, `${REQUESTS}?status=5&outcome=scope`, "requests-none");
});

await story("from the list to a call in two clicks", async () => {
    await owner.goto(KEYS);
    await owner.getByRole("rowheader").getByRole("link").first().click();
    await owner.getByRole("link", { name: "All calls" }).click();
    await owner.waitForURL("**/requests?key=*");
    check((await owner.locator("table.requests tbody tr").count()) > 20, "the calls of the key are listed");
});

await story("revoke from the key's page", async () => {
    const { id, token } = demo.keys.at(-1);
    await owner.goto(`${KEYS}/${id}`);
    await owner.getByRole("link", { name: "Revoke" }).click();
    await owner.getByRole("button", { name: "Revoke key" }).waitFor();
    await look(owner, "dialog-revoke");
    const name = owner.locator("dialog[open] #name");
    if (await name.count()) await name.fill(await owner.locator("dialog[open] label bdi").innerText());
    await owner.getByRole("button", { name: "Revoke key" }).click();
    await owner.getByRole("alert").or(owner.locator(".banner.bad")).first().waitFor();
    check((await call(demo, token)) === 401, "a revoked key is refused");
    await owner.reload();
    await look(owner, "key-revoked");
});

await browser.close();
process.exit();
