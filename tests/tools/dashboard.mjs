// End-to-end tests of the dashboard in a real browser: by mouse, by keyboard alone and without JavaScript; permissions; a session
// that ends, a network that fails, a button that is pressed twice; and that a token is shown only once. $NAME is the host name in
// the browser's address: with a name other than localhost, features that need a secure context are missing.
import { TOKEN, call, check, curl, fail, launch, open, pasted, start, scenario, tabTo, until } from "./dashboard_kit.mjs";

const KEYS = "/settings/integrations/api-keys";
const PASSWORD = "nine lives of a cat";
const browser = await launch();
const dialog = (page) => page.locator("dialog[open]");
const press = (page, name) => page.getByRole("button", { name, exact: true }).click();
// Over plain HTTP, on a name other than localhost, there is no clipboard API: the page copies a selection instead.
const allowCopying = async (page, base) => {
    if (new URL(base).hostname === "127.0.0.1") await page.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin: base });
};
const link = (page, name) => page.getByRole("link", { name, exact: true });
// Breadcrumbs have links of the same name, and an empty list repeats the button above it.
const nav = (page, name) => page.getByRole("navigation", { name: "Main" }).getByRole("link", { name, exact: true });
const createKey = (page) => page.locator(".head").getByRole("link", { name: "Create API Key", exact: true });

// ---- From an empty installation to a revoked key, in three ways.

await scenario("by mouse", async () => {
    const server = await start("serve");
    const { base } = server;
    const page = await open(browser, base, { expected: ["422"] });
    await allowCopying(page, base);
    await page.goto(server.here(server.setUpLink));
    await page.getByLabel("Your name").fill("Ada Quill");
    await page.getByLabel("Email").fill("ada@example.com");
    await page.getByLabel("Team name").fill("Larkspur");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await press(page, "Create account and team");
    await page.waitForURL("**/t/larkspur/products");

    await nav(page, "Members").click();
    await link(page, "Invite member").click();
    await dialog(page).getByLabel("Email").fill("ben@example.com");
    await dialog(page).getByRole("radio", { name: /^Admin/ }).check();
    await press(page, "Create invite link");
    await press(page, "Copy link");
    await page.getByText("Copied", { exact: true }).waitFor();
    const invitation = await pasted(page);
    check(invitation.startsWith(`${base}/link/`), `the invitation's link is ${invitation}`);
    await link(page, "Done").click();
    await page.getByRole("row", { name: /ben@example.com/ }).waitFor();

    const ben = await open(browser, base);
    await ben.goto(invitation);
    await ben.getByLabel("Your name").fill("Ben Okafor");
    await ben.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await press(ben, "Join team");
    await ben.waitForURL("**/t/larkspur/products");
    await nav(ben, "Settings").click();
    await ben.getByRole("heading", { name: "Settings" }).waitFor();

    await nav(page, "Settings").click();
    await nav(page, "Integrations").click();
    await link(page, "Public API").click();
    await page.getByText("No keys yet").waitFor();
    await createKey(page).click();
    await page.getByLabel("Key name").fill("Production backend");
    await page.getByRole("radio", { name: /^Live/ }).check();
    await page.getByRole("radio", { name: /^Read & Write/ }).check();
    await press(page, "Create key");
    await press(page, "Copy token");
    await page.getByText("Copied", { exact: true }).waitFor();
    const token = await pasted(page);
    check(TOKEN.test(token) && token.length === 50, "the copied text is not the token");
    await page.getByRole("button", { name: "Copy cURL command" }).click();
    await until("the cURL line is copied", async () => (await pasted(page)).startsWith("curl"));
    check((await curl(await pasted(page), server)) === 200, "the pasted cURL command fails");
    // Without the clipboard API the text was copied by way of a selection.
    check((await page.evaluate(() => navigator.clipboard === undefined)) === (process.env.NAME === "keyhouse.test"), "the clipboard is there, or is not");
    await link(page, "I’ve saved it").click();
    await page.getByRole("row", { name: /Production backend/ }).waitFor();
    check((await dialog(page).count()) === 0, "the dialog is still there");

    // A live key in use: its name must be typed.
    await until("its last use shows", async () => {
        await page.reload();
        return (await page.getByText("Never used").count()) === 0;
    });
    await page.getByLabel("Actions for Production backend").click();
    await link(page, "Revoke").click();
    await page.getByLabel(/^Type .* to confirm/).fill("production");
    await press(page, "Revoke key");
    await page.getByText("That doesn’t match the key’s name").waitFor();
    check((await call(server, token)) === 200, "a wrong name revoked the key");
    await page.getByLabel(/^Type .* to confirm/).fill("Production backend");
    await press(page, "Revoke key");
    await page.locator(".done", { hasText: "Revoked Production backend" }).waitFor();
    check((await call(server, token)) === 401, "a revoked key is still accepted");
    await page.getByRole("row", { name: /Production backend.*Ada Quill/ }).waitFor();

    await page.locator(".person-button").click();
    await press(page, "Sign out");
    await page.getByText("You’re signed out").waitFor();
    await page.getByLabel("Email").fill("ada@example.com");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await press(page, "Sign in");
    await page.waitForURL("**/t/larkspur/products");
});

await scenario("a new team's first request, and undoing a rename", async () => {
    const server = await start("serve");
    const { base } = server;
    const page = await open(browser, base);
    await page.goto(server.here(server.setUpLink));
    await page.getByLabel("Your name").fill("Ada Quill");
    await page.getByLabel("Email").fill("ada@example.com");
    await page.getByLabel("Team name").fill("Larkspur");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await press(page, "Create account and team");
    await page.getByText("0 of 4 done").waitFor();
    await link(page, "Create test key").click();
    await page.getByLabel("Key name").fill("First test");
    check(await page.getByRole("radio", { name: /^Test/ }).isChecked(), "the mode is not chosen");
    await page.getByRole("radio", { name: /^Read-only/ }).check();
    await press(page, "Create key");
    const token = await page.locator("[data-secret]").first().innerText();
    await link(page, "I’ve saved it").click();
    await page.getByRole("row", { name: /First test/ }).waitFor();
    await nav(page, "Products").click();
    await page.getByText("Waiting for the first request").waitFor();
    check((await call(server, token)) === 200, "the key does not work");
    await page.getByText("2 of 4 done").waitFor();

    await nav(page, "Integrations").click();
    await link(page, "Public API").click();
    const rename = async (from, to) => {
        await page.getByLabel(`Actions for ${from}`).click();
        await link(page, "Rename").click();
        await page.getByLabel("Key name").fill(to);
        await press(page, "Rename key");
    };
    await rename("First test", "Second test");
    await page.locator(".done", { hasText: "Renamed to Second test" }).waitFor();
    check(!page.url().includes("First"), "the name is in the address");
    await press(page, "Undo");
    await page.locator(".done", { hasText: "Renamed to First test" }).waitFor();
    await page.getByRole("row", { name: /First test/ }).waitFor();
    await page.keyboard.press("?");
    await dialog(page).getByText("Keyboard shortcuts").waitFor();
    await page.keyboard.press("Escape");
    await dialog(page).waitFor({ state: "detached" });
    await page.keyboard.press("g");
    await page.keyboard.press("p");
    await page.waitForURL("**/products");
    await page.keyboard.press("g");
    await page.keyboard.press("k");
    await page.waitForURL("**/api-keys");
    await page.keyboard.press("c");
    await page.getByLabel("Key name").waitFor();
});

await scenario("by keyboard", async () => {
    const server = await start("serve");
    const { base } = server;
    const page = await open(browser, base, { expected: ["422"] });
    await allowCopying(page, base);
    const { keyboard } = page;
    const go = async (target, key = "Enter") => {
        await tabTo(page, target);
        await keyboard.press(key);
    };
    const type = async (target, text) => {
        await tabTo(page, target);
        await keyboard.type(text);
    };
    const focused = async (target, why) => {
        await target.waitFor();
        await until(`the focus is on ${why}`, () => target.evaluate((node) => node === document.activeElement));
    };
    await page.goto(server.here(server.setUpLink));
    await focused(page.getByLabel("Your name"), "the first field");
    await keyboard.type("Ada Quill");
    await type(page.getByLabel("Email"), "ada@example.com");
    await type(page.getByLabel("Team name"), "Larkspur");
    await type(page.getByLabel("Password", { exact: true }), PASSWORD);
    await keyboard.press("Enter");
    await page.waitForURL("**/t/larkspur/products");

    // After signing in the focus is on the heading; after following a link, at the start of the page.
    await focused(page.getByRole("heading", { level: 1 }), "the heading");
    await go(nav(page, "Members"));
    await page.waitForURL("**/members");
    await keyboard.press("Tab");
    await focused(link(page, "Skip to content"), "the way past the side bar");
    await go(link(page, "Invite member"));
    await focused(dialog(page).getByLabel("Email"), "the dialog's first field");
    await keyboard.type("ben@example.com");
    await keyboard.press("Tab");
    await keyboard.press("Space");
    await keyboard.press("ArrowDown");
    check(await page.getByRole("radio", { name: /^Manager/ }).isChecked(), "arrow keys do not choose a role");
    await keyboard.press("Enter");
    await focused(page.getByRole("button", { name: /Copy link/ }), "Copy link");
    await go(link(page, "Done"));
    await page.getByRole("row", { name: /ben@example.com/ }).waitFor();

    await go(nav(page, "Integrations"));
    await page.waitForURL("**/integrations");
    await go(link(page, "Public API"));
    await page.waitForURL("**/api-keys");
    const create = createKey(page);
    await go(create);
    await focused(page.getByLabel("Key name"), "the name");
    await keyboard.press("Escape");
    await dialog(page).waitFor({ state: "detached" });
    await focused(create, "what opened the dialog");
    await keyboard.press("Enter");
    await focused(page.getByLabel("Key name"), "the name");
    await keyboard.type("Robot");
    await keyboard.press("Tab");
    await keyboard.press("Space");
    await keyboard.press("Tab");
    await keyboard.press("Space");
    // The page behind the dialog can't be reached.
    for (let n = 0; n < 12; n++) {
        await keyboard.press("Tab");
        check(await page.evaluate(() => !document.activeElement.closest("main, nav")), "Tab leaves the dialog");
    }
    await go(page.getByRole("button", { name: "Create key" }));
    const copy = page.getByRole("button", { name: "Copy token" });
    await focused(copy, "Copy token");

    // Closing without a copy asks for confirmation.
    await keyboard.press("Escape");
    await focused(page.getByRole("button", { name: "Keep open" }), "Keep open");
    await keyboard.press("Enter");
    await focused(copy, "Copy token again");
    await keyboard.press("Enter");
    await page.getByText("Copied", { exact: true }).waitFor();
    const token = await pasted(page);
    check(TOKEN.test(token), "the token was not copied by keyboard");
    check((await call(server, token)) === 200, "the copied token does not work");
    await keyboard.press("Escape");
    await dialog(page).waitFor({ state: "detached" });
    const menu = page.getByLabel("Actions for Robot");
    await focused(menu, "the new key's row");
    await keyboard.press("ArrowDown");
    await focused(link(page, "Rename"), "the menu's first item");
    await keyboard.press("Escape");
    await focused(menu, "the menu's button");
    await keyboard.press("Enter");
    await keyboard.press("ArrowDown");
    await keyboard.press("Enter");
    await focused(page.getByLabel("Key name"), "the name");
    await keyboard.press("Control+A");
    await keyboard.type("Robot two");
    await keyboard.press("Enter");
    await page.locator(".done", { hasText: "Renamed to Robot two" }).waitFor();
    await focused(page.getByLabel("Actions for Robot two"), "the renamed key's row");
    await keyboard.press("Enter");
    await keyboard.press("r");
    await keyboard.press("End");
    await focused(link(page, "Revoke"), "the last item");
    await keyboard.press("Enter");
    await focused(link(page, "Keep key"), "the harmless button");
    await go(page.getByRole("button", { name: "Revoke key" }));
    await page.locator(".done", { hasText: "Revoked Robot two" }).waitFor();
    check((await call(server, token)) === 401, "a revoked key is still accepted");
    check(await page.evaluate(() => Boolean(document.activeElement.closest("main"))), "after revoking, the focus is on the body");
});

await scenario("without JavaScript", async () => {
    const server = await start("serve");
    const { base } = server;
    const page = await open(browser, base, { javaScriptEnabled: false, expected: ["409", "422", "ERR_CACHE_MISS"] });
    await page.goto(server.here(server.setUpLink));
    await page.getByLabel("Your name").fill("Ada Quill");
    await page.getByLabel("Email").fill("ada@example.com");
    await page.getByLabel("Team name").fill("Larkspur");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await press(page, "Create account and team");
    await page.waitForURL("**/t/larkspur/products");

    await nav(page, "Members").click();
    await link(page, "Invite member").click();
    await page.getByLabel("Email").fill("ben@example.com");
    await page.getByRole("radio", { name: /^Member/ }).check();
    await press(page, "Create invite link");
    const ben = await open(browser, base, { javaScriptEnabled: false });
    await ben.goto(await page.locator("[data-secret]").innerText());
    await ben.getByLabel("Your name").fill("Ben Okafor");
    await ben.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await press(ben, "Join team");
    await ben.waitForURL("**/t/larkspur/products");
    await ben.context().close();

    await nav(page, "Integrations").click();
    await link(page, "Public API").click();
    await createKey(page).click();
    const unsent = page.url();
    await page.getByLabel("Key name").fill("Cron");
    await page.getByRole("radio", { name: /^Test/ }).check();
    await page.getByRole("radio", { name: /^Read-only/ }).check();
    await press(page, "Create key");
    await page.getByText("Key created").waitFor();
    const token = await page.locator("[data-secret]").first().innerText();
    check(TOKEN.test(token), "the token is not on the page");
    check((await page.getByRole("button", { name: /^Copy/ }).count()) === 0, "a button that needs JavaScript is shown");
    check((await curl(await page.locator("[data-secret]").last().innerText(), server)) === 200, "the cURL command fails");

    // Submits the same form again, as a reload does.
    const never = async (when) => {
        await page.waitForLoadState();
        check(!(await page.locator("html").innerHTML()).includes(token.slice(12)), `the token is shown again: ${when}`);
    };
    await link(page, "How to use it").click();
    await page.waitForURL("**/docs/authentication");
    // Browsers ask before they submit a form again; this test does not answer the question.
    const unasked = (error) => check(/ERR_CACHE_MISS/.test(error), `back or forward: ${error}`);
    await page.goBack().catch(unasked);
    await never("back from the docs");
    await page.reload();
    await page.getByText("Already created").waitFor();
    await never("reloaded");
    await page.goBack();
    await never("back");
    await page.goForward().catch(unasked);
    await never("forward");
    await page.goto(unsent);
    await never("there anew");
    await page.goto(`${base}/t/larkspur${KEYS}`);
    check((await page.getByLabel(/^Actions for/).count()) === 1, "one form created two keys");
    await never("in the list");

    await page.getByLabel("Actions for Cron").click();
    await link(page, "Rename").click();
    await page.getByLabel("Key name").fill("");
    await page.getByLabel("Key name").evaluate((field) => field.form.setAttribute("novalidate", ""));
    await press(page, "Rename key");
    await page.locator("#name-fault").waitFor();
    await page.getByLabel("Key name").fill("Cron, nightly");
    await press(page, "Rename key");
    await page.locator(".done", { hasText: "Renamed to Cron, nightly" }).waitFor();
    await page.getByLabel("Actions for Cron, nightly").click();
    await link(page, "Revoke").click();
    await press(page, "Revoke key");
    await page.locator(".done", { hasText: "Revoked Cron, nightly" }).waitFor();
    check((await call(server, token)) === 401, "a revoked key is still accepted");
    await page.locator(".person-button").click();
    await press(page, "Sign out");
    await page.getByText("You’re signed out").waitFor();
});

// ---- With the members of the demo's team.

const demo = await start("demo");
const { base, team } = demo;
const at = (rest) => `${base}/t/${team.slug}${rest}`;

// Signs in as the member with this role.
const enter = async (role, options) => {
    const page = await open(browser, base, options);
    await page.goto(demo.here(demo.people.find((person) => person.role === role).link));
    await press(page, "Sign in");
    await page.waitForURL("**/products");
    return page;
};
const active = () => demo.shell("key", "list", "--team", team.slug);
const count = (name) => JSON.stringify(active()).split(`"${name}"`).length - 1;
// Revokes all keys but the demo's: a team has at most ten, and the next scenarios create some.
const makeRoom = () => {
    for (const key of active()) {
        if (key.status === "active" && !demo.keys.some(({ id }) => id === key.id)) demo.shell("key", "revoke", key.id);
    }
};
const fillKey = async (page, name, mode = "Test") => {
    await page.getByLabel("Key name").fill(name);
    await page.getByRole("radio", { name: new RegExp(`^${mode}`) }).check();
    await page.getByRole("radio", { name: /^Read-only/ }).check();
};
const openCreate = async (page) => {
    await page.goto(at(KEYS));
    await createKey(page).click();
    await page.getByLabel("Key name").waitFor();
};

await scenario("each role can open only its own pages", async () => {
    for (const role of ["manager", "member"]) {
        const page = await enter(role, { expected: ["403"] });
        const links = await page.locator("nav a").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
        check(!links.some((href) => href.includes("/settings")), `${role}: links to settings: ${links}`);
        check((await page.getByRole("link", { name: /^New/ }).count()) === (role === "manager" ? 1 : 0), `${role}: New product`);
        for (const path of ["/settings", "/settings/members", "/settings/integrations", KEYS, `${KEYS}/new`, "/settings/audit", "/settings/audit.csv"]) {
            const answer = await page.goto(at(path));
            check(answer.status() === 403, `${role}: ${path}: ${answer.status()}`);
            await page.getByRole("heading", { name: "You don’t have access to this page" }).waitFor();
            for (const email of ["owner@example.com", "admin@example.com"]) {
                check(await page.getByText(email).isVisible(), `${role}: ${path} does not name ${email}`);
            }
        }
        await page.context().close();
    }

    const admin = await enter("admin", { expected: ["403"] });
    await admin.goto(at("/settings"));
    check((await admin.getByText("Delete").count()) === 0, "admin: the page offers to delete the team");
    check((await admin.goto(at("/settings/delete"))).status() === 403, "admin: the address of the dialog is allowed");
    await admin.goto(at("/settings/members"));
    check((await admin.getByText("Transfer ownership").count()) === 0, "admin: the page offers to transfer ownership");

    // The role changes while a dialog is open.
    await openCreate(admin);
    await fillKey(admin, "Too late");
    demo.shell("member", "role", "--team", team.slug, "--email", "admin@example.com", "--role", "member");
    await press(admin, "Create key");
    await admin.getByText("You don’t have access to this page").waitFor();
    demo.shell("member", "role", "--team", team.slug, "--email", "admin@example.com", "--role", "admin");
    check(count("Too late") === 0, "a key was created without the permission");
    await admin.context().close();
});

const owner = await enter("owner", { expected: ["403", "409", "422", "ERR_INTERNET_DISCONNECTED", "ERR_FAILED"] });
await owner.goto(demo.reset("owner@example.com"));
await owner.getByLabel("New password", { exact: true }).fill(PASSWORD);
await press(owner, "Set password");
await owner.waitForURL("**/products");

const signIn = async (page) => {
    await page.getByText("Your session had ended, so nothing was created or changed").waitFor();
    await page.getByLabel("Email").fill("owner@example.com");
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await press(page, "Sign in");
};

for (const javaScriptEnabled of [true, false]) {
    const way = javaScriptEnabled ? "with JavaScript" : "without JavaScript";
    await scenario(`the session ends in mid-action, ${way}`, async () => {
        const storageState = await owner.context().storageState();
        const page = await open(browser, base, { javaScriptEnabled, storageState, expected: ["403"] });
        await openCreate(page);
        await fillKey(page, `Cut off ${way}`);
        await page.context().clearCookies();
        await press(page, "Create key");
        await signIn(page);
        await page.getByText("You’re signed in again").waitFor();
        check(page.url() === `${base}/sign-in`, `${way}: what was typed is in the address: ${page.url()}`);
        check(count(`Cut off ${way}`) === 0, `${way}: a key was made without a session`);
        await press(page, "Continue");
        await page.getByText("Key created").waitFor();
        check(count(`Cut off ${way}`) === 1, `${way}: no key after signing in again`);
        demo.shell("key", "revoke", JSON.stringify(active()).match(new RegExp(`"id":"([^"]*)"[^}]*"name":"Cut off ${way}"`))[1]);
        await page.context().close();
    });

    await scenario(`a live key needs a recent password, ${way}`, async () => {
        const storageState = await owner.context().storageState();
        const page = await open(browser, base, { javaScriptEnabled, storageState, expected: ["403"] });
        demo.age(16);
        await openCreate(page);
        await fillKey(page, `Proved ${way}`, "Live");
        await press(page, "Create key");
        await page.getByText("Confirm it’s you").waitFor();
        await page.getByLabel("Password", { exact: true }).fill("not my password");
        await press(page, "Confirm");
        await page.getByText("Wrong password").waitFor();
        check(count(`Proved ${way}`) === 0, `${way}: a wrong password makes a key`);
        await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
        await press(page, "Confirm");
        await page.getByText("Key created").waitFor();
        check(count(`Proved ${way}`) === 1, `${way}: the right password makes no key`);
        // Confirming the password replaces the session cookie, which the other tests then use.
        await owner.context().addCookies(await page.context().cookies());
        await page.context().close();
    });
}

await scenario("the network fails in mid-action", async () => {
    makeRoom();
    const page = owner;
    await openCreate(page);
    await fillKey(page, "Offline");
    await page.context().setOffline(true);
    await press(page, "Create key");
    await dialog(page).getByText("Keyhouse can’t be reached").waitFor();
    check((await page.getByLabel("Key name").inputValue()) === "Offline", "the name is lost when offline");
    check(await page.getByRole("radio", { name: /^Test/ }).isChecked(), "the mode is lost when offline");
    await page.context().setOffline(false);
    check(count("Offline") === 0, "a key was created offline");
    await press(page, "Create key");
    await page.locator("[data-reveal]").waitFor();
    check(count("Offline") === 1, "trying again did not create exactly one key");
    await link(page, "I’ve saved it").click();
    await page.getByRole("row", { name: /Offline/ }).waitFor();

    // A proxy answers in the server's place. The page can't tell whether the request was handled, and must not report success.
    await openCreate(page);
    await fillKey(page, "Behind a proxy");
    await page.evaluate(() => {
        const real = window.fetch;
        window.fetch = async () => {
            window.fetch = real;
            return { status: 502, url: location.href, text: async () => "<h1>502 Bad Gateway</h1>" };
        };
    });
    await press(page, "Create key");
    await dialog(page).getByText("isn’t responding").waitFor();
    check((await page.getByLabel("Key name").inputValue()) === "Behind a proxy", "the name is lost behind a proxy");
    await page.keyboard.press("Escape");
    await dialog(page).waitFor({ state: "detached" });

    // The response is lost after the server has handled the request.
    await openCreate(page);
    await fillKey(page, "Lost answer");
    await page.evaluate(() => {
        const real = window.fetch;
        window.fetch = async (...call) => {
            window.fetch = real;
            await real(...call);
            throw new TypeError("lost");
        };
    });
    await press(page, "Create key");
    await dialog(page).getByText("Keyhouse can’t be reached").waitFor();
    await press(page, "Create key");
    await dialog(page).getByText("Already created").waitFor();
    check(count("Lost answer") === 1, "a lost response and a retry did not create exactly one key");
    await link(page, "Revoke key…").click();
    await press(page, "Revoke key");
    await page.locator(".done", { hasText: "Revoked Lost answer" }).waitFor();
});

await scenario("a form that is submitted twice creates one key", async () => {
    const page = owner;
    await openCreate(page);
    await fillKey(page, "Double");
    const id = await page.locator("input[name=id]").inputValue();
    let release;
    const released = new Promise((resolve) => (release = resolve));
    await page.route(at(`${KEYS}/new`), (route) => released.then(() => route.continue()));
    await page.getByRole("button", { name: "Create key" }).dblclick();
    await page.getByRole("button", { name: "Working…" }).waitFor();
    release();
    await page.locator("[data-reveal]").waitFor();
    await page.unroute(at(`${KEYS}/new`));
    check(count("Double") === 1, "a double click did not create exactly one key");
    const token = await page.locator("[data-secret]").first().innerText();
    const personId = await page.locator("#person input[name=for]").getAttribute("value");
    const again = await page.evaluate(async ([url, form]) => {
        const answer = await fetch(url, { method: "POST", body: new URLSearchParams(form), headers: { Accept: "text/html" } });
        return { status: answer.status, text: await answer.text() };
    }, [at(`${KEYS}/new`), { for: personId, id, name: "Double", mode: "test", scope: "read_only" }]);
    check(again.status === 409 && again.text.includes("Already created") && !again.text.includes(token.slice(12)), `the same form again: ${again.status}`);
    check(count("Double") === 1, "submitting the form twice did not create exactly one key");
    await link(page, "I’ve saved it").click();
});

await scenario("a token is shown only once", async () => {
    makeRoom();
    const page = owner;
    const make = async (name) => {
        await openCreate(page);
        await fillKey(page, name);
        await press(page, "Create key");
        await page.locator("[data-reveal]").waitFor();
        const token = await page.locator("[data-secret]").first().innerText();
        check(TOKEN.test(token), "the token is shown again");
        const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, history.state]) + location.href + document.title + document.cookie);
        check(!kept.includes(token.slice(12)), "the token is in the browser's storage, address or title");
        return token.slice(12);
    };
    const never = async (token, when, tab = page) => {
        await tab.locator("main").waitFor({ state: "attached" });
        check(!(await tab.content()).includes(token), `the token is shown again: ${when}`);
    };
    const step = async (way, url) => {
        await page.evaluate((way) => history[way](), way);
        await page.waitForURL(url, { waitUntil: "commit" });
    };

    let token = await make("Reloaded");
    await page.reload();
    await never(token, "reloaded");
    const tab = await page.context().newPage();
    await tab.goto(page.url());
    await never(token, "in a new tab", tab);
    await tab.close();

    // Leaves the page while the dialog is open, and goes back.
    token = await make("Went back");
    await link(page, "How to use it").click();
    await page.waitForURL("**/docs/authentication");
    await step("back", `**${KEYS}`);
    await page.getByRole("row", { name: /Went back/ }).waitFor();
    await never(token, "back");
    check((await dialog(page).count()) === 0, "the dialog comes back");
    await step("forward", "**/docs/authentication");
    await never(token, "forward");
    await step("back", `**${KEYS}`);
    await never(token, "back again");

    // A typed token must not come back with a page from the browser's back-forward cache.
    await page.goto(at(`${KEYS}/find`));
    await page.getByLabel(/^Token, or/).fill(demo.keys[0].token);
    await page.evaluate(() => (location.href = "/docs/authentication"));
    await page.waitForURL("**/docs/authentication");
    await step("back", "**/find");
    await until("the page comes from the browser's memory", () => page.evaluate(() => sessionStorage.getItem("restored") === "yes").catch(() => false));
    await page.waitForLoadState();
    check((await page.getByLabel(/^Token, or/).inputValue()) === "", "a typed token comes back");
});

await scenario("copying by hand counts as a copy", async () => {
    const page = owner;
    await openCreate(page);
    await fillKey(page, "By hand");
    await press(page, "Create key");
    const token = page.locator("[data-secret]").first();
    await tabTo(page, token);
    await page.keyboard.press("Control+C");
    check((await pasted(page)) === (await token.innerText()), "Ctrl+C did not copy the full token");
    await page.keyboard.press("Escape");
    await page.getByRole("row", { name: /By hand/ }).waitFor();
});

await browser.close();
if (process.exitCode) fail("some scenarios failed");
process.exit();
