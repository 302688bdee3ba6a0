// The page of a key, the team's requests and the actions on a key, in a real browser: with and without usage, light and dark,
// narrow and wide, checked with axe-core. Screenshots go to $SHOTS.
import { execFileSync } from "node:child_process";
import { join } from "node:path";

import { call, check, inspect, launch, open, scenario, start, tabTo } from "./dashboard_kit.mjs";

const demo = await start("demo");
const { base, team } = demo;
const KEYS = `${base}/t/${team.slug}/settings/integrations/api-keys`;
// The form to pause a key has a warning too, so that the class alone does not show that the key is paused.
const PAUSED = '.banner.warn:has(strong:text-is("Paused"))';
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

await scenario("without usage", async () => {
    await visit(owner, `${KEYS}/${live.id}`, "key-empty");
    await visit(owner, REQUESTS, "requests-empty");
});

execFileSync("python3", [new URL("seed_usage.py", import.meta.url).pathname, demo.data, JSON.stringify(demo.keys.map((key) => key.id))]);

await scenario("with usage", async () => {
    await visit(owner, KEYS, "keys-full");
    await visit(owner, `${KEYS}/${live.id}`, "key-full");
    await visit(owner, `${KEYS}/${live.id}?days=90`, "key-90-days");
    await visit(owner, REQUESTS, "requests-full");
    await visit(owner, `${REQUESTS}?status=5&outcome=scope`, "requests-none");
});

await scenario("from the list to a call in two clicks", async () => {
    await owner.goto(KEYS);
    await owner.getByRole("rowheader").getByRole("link").first().click();
    await owner.getByRole("link", { name: "All calls" }).click();
    await owner.waitForURL("**/requests?key=*");
    check((await owner.locator("table.requests tbody tr").count()) > 20, "the calls of the key are not listed");
});

const dialog = owner.locator("dialog[open]");
const press = async (name, heading) => {
    await owner.getByRole("link", { name, exact: true }).first().click();
    await dialog.getByRole("heading", { name: heading }).waitFor();
};

await scenario("rotate: the token is shown once and guarded", async () => {
    await owner.goto(`${KEYS}/${live.id}`);
    await press("Rotate", "Rotate ");
    await look(owner, "dialog-rotate");
    await dialog.getByText("24 hours after the switch").click();
    await dialog.getByRole("button", { name: "Rotate key" }).click();
    await dialog.getByRole("heading", { name: "Key rotated" }).waitFor();
    const token = await dialog.locator("code[data-secret]").first().innerText();
    check((await call(demo, token)) === 200, "the new token is refused");
    check((await call(demo, live.token)) === 200, "the former token is refused");
    await owner.keyboard.press("Escape");
    await dialog.getByRole("alert").waitFor();
    await look(owner, "dialog-rotated");
    await dialog.getByRole("button", { name: "Close anyway" }).click();
    await owner.waitForURL(`**/${live.id}`);
    await owner.goto(`${KEYS}/${live.id}`);
    await look(owner, "key-two-tokens");
    await press("Rotate", "Rotate ");
    await look(owner, "dialog-rotate-again");
    await owner.keyboard.press("Escape");
    await press("End former token now", "End the former token");
    await look(owner, "dialog-end-former");
    await dialog.getByRole("button", { name: "End former token" }).click();
    await owner.getByText("Former token ended").first().waitFor();
    check((await call(demo, live.token)) === 401, "the former token is still accepted");
});

await scenario("pause and resume", async () => {
    await owner.goto(`${KEYS}/${live.id}`);
    await press("Pause", "Pause ");
    await look(owner, "dialog-pause");
    await dialog.getByText("Until you resume it").click();
    await dialog.getByRole("button", { name: "Pause key" }).click();
    await owner.locator(PAUSED).first().waitFor();
    await look(owner, "key-paused");
    await press("Resume", "Resume ");
    await look(owner, "dialog-resume");
    await dialog.getByRole("button", { name: "Resume key" }).click();
    await owner.getByText("Resumed ").first().waitFor();
});

await scenario("conditions are tried on recent calls", async () => {
    await owner.goto(`${KEYS}/${live.id}`);
    await owner.getByRole("link", { name: "Edit conditions" }).click();
    await dialog.getByRole("heading", { name: "Conditions of" }).waitFor();
    const soon = new Date(Date.now() + 6 * 86_400_000).toISOString().slice(0, 10);
    await dialog.getByLabel("Expires").fill(soon);
    await dialog.getByLabel("Allowed addresses").fill("203.0.113.0/28\n2001:db8:40::/48");
    await dialog.getByRole("button", { name: "Check recent calls" }).click();
    await dialog.getByText("would have been refused").waitFor();
    await look(owner, "dialog-conditions");
    await dialog.getByRole("button", { name: "Save anyway" }).click();
    await owner.getByText("Conditions saved").first().waitFor();
    await owner.reload();
    await look(owner, "key-expiring");
    await visit(owner, KEYS, "keys-expiring");
});

await scenario("expiry of a new key, maximum lifetime, keys of a person", async () => {
    await owner.goto(KEYS);
    await owner.getByRole("link", { name: "Create API Key" }).first().click();
    await dialog.getByText("Expiry and allowed addresses").click();
    await look(owner, "dialog-create");
    await visit(owner, `${base}/t/${team.slug}/settings`, "settings");
    await owner.goto(`${base}/t/${team.slug}/settings/members`);
    await owner.getByLabel(/^Actions for/).first().click();
    await owner.getByRole("link", { name: "Revoke their keys" }).first().click();
    await dialog.getByRole("heading", { name: "Revoke the keys that" }).waitFor();
    await look(owner, "dialog-keys-of-person");
});

await scenario("revoke from the key's page", async () => {
    const { id, token } = demo.keys.at(-1);
    await owner.goto(`${KEYS}/${id}`);
    await owner.getByRole("link", { name: "Revoke", exact: true }).click();
    await owner.getByRole("button", { name: "Revoke key" }).waitFor();
    await look(owner, "dialog-revoke");
    const name = owner.locator("dialog[open] #name");
    if (await name.count()) await name.fill(await owner.locator("dialog[open] label bdi").first().innerText());
    await owner.locator("dialog[open] #reason").fill("Found in a public repository");
    await owner.getByRole("button", { name: "Revoke key" }).click();
    await owner.getByRole("alert").or(owner.locator(".banner.bad")).first().waitFor();
    check((await call(demo, token)) === 401, "a revoked key is refused");
    await owner.goto(`${KEYS}/${id}`);
    // The script loads the receipt until it is complete.
    await owner.locator('[data-receipt="complete"]').first().waitFor();
    await owner.getByText(/^Refused on the only node [\d,]+ ms later\.$/).waitFor();
    await look(owner, "key-revoked");
});

const testKey = (name) =>
    demo.shell("key", "create", "--team", team.slug, "--name", name, "--mode", "test", "--scope", "read_only");

await scenario("the actions on a key by keyboard alone", async () => {
    const { keyboard } = owner;
    const made = testKey("Keyboard");
    const choose = async (name, heading) => {
        const link = owner.getByRole("link", { name, exact: true }).first();
        await tabTo(owner, link);
        await keyboard.press("Enter");
        await dialog.getByRole("heading", { name: heading }).waitFor();
        return link;
    };
    const submit = async (name) => {
        await tabTo(owner, dialog.getByRole("button", { name, exact: true }));
        await keyboard.press("Enter");
    };
    const pick = async () => {
        const checked = dialog.locator("input[type=radio]:checked");
        await tabTo(owner, (await checked.count()) ? checked : dialog.getByRole("radio").first());
        await keyboard.press("ArrowDown");
        check((await checked.count()) === 1, "arrow keys choose");
    };
    await owner.goto(`${KEYS}/${made.id}`);
    const opener = await choose("Pause", "Pause ");
    await keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    check(await opener.evaluate((node) => node === document.activeElement), "the focus is back on the link");
    await choose("Pause", "Pause ");
    await pick();
    await submit("Pause key");
    await owner.locator(PAUSED).first().waitFor();
    check((await call(demo, made.token)) === 401, "a paused key is refused");
    await choose("Resume", "Resume ");
    await submit("Resume key");
    await owner.getByText("Resumed ").first().waitFor();
    check((await call(demo, made.token)) === 200, "a resumed key is accepted");

    await choose("Rotate", "Rotate ");
    await pick();
    await submit("Rotate key");
    await dialog.getByRole("heading", { name: "Key rotated" }).waitFor();
    const token = await dialog.locator("code[data-secret]").first().innerText();
    await keyboard.press("Escape");
    await dialog.getByRole("alert").waitFor();
    await submit("Close anyway");
    await owner.waitForURL(`**/${made.id}`);
    await owner.goto(`${KEYS}/${made.id}`);
    await choose("End former token now", "End the former token");
    await submit("End former token");
    await owner.getByText("Former token ended").first().waitFor();
    check((await call(demo, made.token)) === 401 && (await call(demo, token)) === 200, "only the new token is accepted");

    await choose("Edit conditions", "Conditions of");
    await tabTo(owner, dialog.getByLabel("Allowed addresses"));
    await keyboard.type("203.0.113.0/28");
    await submit("Save conditions");
    await owner.getByText(/Conditions saved|would have been refused/).first().waitFor();
    if (await dialog.count()) await submit("Save anyway");
    await owner.getByText("Conditions saved").first().waitFor();
    check((await call(demo, token)) === 401, "this address is not allowed");

    await choose("Revoke", "Revoke ");
    await tabTo(owner, dialog.getByLabel(/^Reason/));
    await keyboard.type("No longer needed");
    await submit("Revoke key");
    await owner.locator('[data-receipt="complete"]').first().waitFor();
    await owner.getByText("“No longer needed”").first().waitFor();
});

await scenario("the actions on a key without JavaScript", async () => {
    const storageState = await owner.context().storageState();
    const plain = await open(browser, base, { javaScriptEnabled: false, storageState });
    const made = testKey("Without a script");
    const page = `${KEYS}/${made.id}`;
    await plain.goto(page);
    await plain.getByRole("link", { name: "Rotate", exact: true }).click();
    await plain.getByRole("radio", { name: /^Now/ }).check();
    await plain.getByRole("button", { name: "Rotate key" }).click();
    await plain.getByRole("heading", { name: "Key rotated" }).waitFor();
    const token = await plain.locator("code[data-secret]").first().innerText();
    check((await call(demo, made.token)) === 401 && (await call(demo, token)) === 200, "the new token replaced the former one");
    await plain.goto(page);
    await plain.getByRole("link", { name: "Pause", exact: true }).click();
    await plain.getByRole("radio", { name: "1 hour" }).check();
    await plain.getByRole("button", { name: "Pause key" }).click();
    await plain.locator(PAUSED).first().waitFor();
    check((await call(demo, token)) === 401, "a paused key is refused");
    await plain.getByRole("link", { name: "Resume", exact: true }).click();
    await plain.getByRole("button", { name: "Resume key" }).click();
    await plain.getByRole("link", { name: "Revoke", exact: true }).click();
    await plain.getByRole("button", { name: "Revoke key", exact: true }).click();
    await plain.waitForURL((url) => url.searchParams.get("done") === "revoked");
    // Without the script the receipt is as of the last load.
    for (let loads = 0; loads < 20 && !(await plain.locator('[data-receipt="complete"]').count()); loads++) await plain.goto(page);
    await plain.getByText(/^Refused on the only node [\d,]+ ms later\.$/).waitFor();
    check((await call(demo, token)) === 401, "a revoked key is refused");
});

await browser.close();
process.exit();
