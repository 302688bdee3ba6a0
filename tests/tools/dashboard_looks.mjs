// Opens every page and every dialog of the dashboard in light and dark, narrow and wide, magnified and with forced colors, and
// checks each with axe-core. Writes the screenshots of the README and the guide to $SHOTS.
import { join } from "node:path";

import { check, call, fail, inspect, launch, open, start, scenario, until } from "./dashboard_kit.mjs";

const demo = await start("demo");
const { base, team } = demo;
const at = (rest) => `${base}/t/${team.slug}${rest}`;
const KEYS = "/settings/integrations/api-keys";
const browser = await launch();
// On a busy machine Chromium sometimes fails to capture a frame; then the screenshot is taken again.
const screenshot = async (page, name, tries = 3) => {
    if (!process.env.SHOTS) return;
    try {
        await page.screenshot({ path: join(process.env.SHOTS, `${name}.png`), animations: "disabled" });
    } catch (error) {
        if (tries === 1 || !String(error).includes("Unable to capture screenshot")) throw error;
        await screenshot(page, name, tries - 1);
    }
};

const enter = async (role, options) => {
    const page = await open(browser, base, { reducedMotion: "reduce", expected: ["403", "404", "409", "422"], ...options });
    if (role) {
        await page.goto(demo.people.find((person) => person.role === role).link);
        await page.getByRole("button", { name: "Sign in" }).click();
        await page.waitForURL("**/products");
    }
    return page;
};

// Checks the view in both themes and three widths, with the longest relative times; menus and dialogs stay open.
const look = async (page, what) => {
    const times = await page.locator("time").evaluateAll((times) => times.map((time) => {
        const words = time.textContent;
        time.textContent = "59 minutes ago";
        return words;
    }));
    for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
        for (const width of [320, 768, 1440]) {
            await page.setViewportSize({ width, height: 900 });
            await inspect(page, `${what}, ${colorScheme}, ${width}`);
        }
    }
    await page.locator("time").evaluateAll((all, times) => all.forEach((time, n) => (time.textContent = times[n])), times);
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.emulateMedia({ colorScheme: "light" });
};
const dialog = (page) => page.locator("dialog[open]");
const act = async (page, row, action) => {
    await page.getByLabel(`Actions for ${row}`, { exact: true }).click();
    await page.locator("details[open] li a").filter({ hasText: action }).click();
    await dialog(page).waitFor();
};
const close = async (page) => {
    await page.keyboard.press("Escape");
    await dialog(page).waitFor({ state: "detached" });
};
const press = (page, name) => page.getByRole("button", { name, exact: true }).click();

const people = { owner: "Ines Marlow", admin: "Tomás Reyes", manager: "Priya Natarajan", member: "Jonas Weber" };
const owner = await enter("owner");

await scenario("the demo's keys are used", async () => {
    for (const key of demo.keys.slice(0, 2)) check((await call(demo, key.token)) === 200, "a key of the demo is refused");
});

await scenario("the keys' dialogs", async () => {
    const page = owner;
    await page.goto(at(KEYS));
    await page.getByRole("link", { name: "Create API Key" }).click();
    await dialog(page).waitFor();
    await look(page, "the create dialog");
    await press(page, "Create key");
    check(await page.getByLabel("Key name").evaluate((field) => field.matches(":invalid:focus")), "an empty name was accepted");
    await page.getByLabel("Key name").fill("Nightly price export");
    await page.getByRole("radio", { name: /^Live/ }).check();
    await page.getByRole("radio", { name: /^Read-only/ }).check();
    await screenshot(page, "create");
    await press(page, "Create key");
    await page.locator("[data-reveal]").waitFor();
    await screenshot(page, "created");
    await look(page, "the token");
    await page.keyboard.press("Escape");
    await page.locator("[data-guard]").waitFor();
    await look(page, "the token's guard");
    await press(page, "Close anyway");
    await dialog(page).waitFor({ state: "detached" });
    await page.getByText("Nightly price export").waitFor();

    await act(page, "Nightly price export", "Rename");
    await look(page, "the rename dialog");
    await page.getByLabel("Key name").fill("x".repeat(101));
    await press(page, "Rename key");
    await page.locator("#name-fault").waitFor();
    await look(page, "the rename dialog with a fault");
    await close(page);

    await act(page, "Nightly price export", "Revoke");
    await look(page, "the revoke dialog");
    await press(page, "Revoke key");
    await page.locator(".done", { hasText: "Revoked Nightly price export" }).waitFor();

    await page.getByRole("link", { name: "Which key is this?" }).click();
    await dialog(page).waitFor();
    await look(page, "the find dialog");
    await page.getByLabel(/^Token, or/).fill("no token here");
    await press(page, "Find keys");
    await page.locator("#token-fault").waitFor();
    await look(page, "the find dialog with a fault");
    await page.getByLabel(/^Token, or/).fill(demo.keys[0].token);
    await press(page, "Find keys");
    await dialog(page).getByRole("heading", { name: "Production backend" }).waitFor();
    await look(page, "a key that was found");
    await close(page);

    await until("last uses show", async () => {
        await page.reload();
        return (await page.locator("table.keys").getByText("Never used").count()) === 1;
    });
    await screenshot(page, "keys");
    await page.emulateMedia({ colorScheme: "dark" });
    await screenshot(page, "keys-dark");
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 320, height: 720 });
    await screenshot(page, "keys-narrow");
    await look(page, "API keys");
    await page.getByLabel("Actions for Staging").click();
    await look(page, "a key's menu");
    await page.keyboard.press("Escape");
    await page.setViewportSize({ width: 320, height: 720 });
    await press(page, "Menu");
    for (const colorScheme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme });
        await inspect(page, `the narrow menu, ${colorScheme}, 320`);
    }
    await screenshot(page, "menu-narrow");
    await page.keyboard.press("Escape");
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.emulateMedia({ colorScheme: "light" });
    await act(page, "Production backend", "Revoke");
    await page.getByLabel(/^Type .* to confirm/).fill("Production backend");
    await screenshot(page, "revoke");
    await page.getByLabel(/^Type .* to confirm/).fill("Production");
    await press(page, "Revoke key");
    await page.locator("#name-fault").waitFor();
    await look(page, "the revoke dialog that asks for the name");
    await close(page);
});

await scenario("the team's pages and dialogs", async () => {
    const page = owner;
    await page.goto(at("/settings/members/invite"));
    await look(page, "the invite page");
    await page.goto(at("/settings/members"));
    await page.getByRole("link", { name: "Invite member" }).click();
    await dialog(page).waitFor();
    await look(page, "the invite dialog");
    await dialog(page).getByLabel("Email").fill("newcomer@example.com");
    await page.getByRole("radio", { name: /^Manager/ }).check();
    await press(page, "Create invite link");
    await dialog(page).getByText("Invite link created").waitFor();
    await look(page, "the invitation's link");
    const link = await dialog(page).locator("[data-secret]").innerText();
    await page.getByRole("link", { name: "Done" }).click();
    await dialog(page).waitFor({ state: "detached" });
    await page.getByText("newcomer@example.com").first().waitFor();
    await screenshot(page, "members");
    await look(page, "Members");
    for (const [action, what] of [["Change role", "the role dialog"], ["Transfer ownership", "the hand-over dialog"], ["Remove", "the remove dialog"]]) {
        await act(page, people.manager, action);
        await look(page, what);
        await close(page);
    }
    await page.getByRole("link", { name: "Withdraw" }).first().click();
    await dialog(page).waitFor();
    await look(page, "the withdraw dialog");
    await close(page);
    await page.goto(at("/settings"));
    await look(page, "Settings");
    await page.getByRole("link", { name: "Delete team…" }).click();
    await dialog(page).waitFor();
    await look(page, "the delete-team dialog");
    await close(page);
    const ids = new Map(demo.shell("key", "list", "--team", team.slug).map(({ name, id }) => [name, id]));
    const keyPages = [["Warehouse display", "with two tokens"], ["Trade fair kiosk", "that is paused"], ["Fjord Marine partner feed", "that expires soon"],
        ["Old storefront", "that is safe to revoke"], ["Catalog import", "that was revoked"], ["Local trial", "that expired"]]
        .map(([name, state]) => [`${KEYS}/${ids.get(name)}`, `the page of a key ${state}`]);
    for (const [path, what] of [["/settings/integrations", "Integrations"], ["/settings/audit", "the audit log"], ["/products", "Products"],
        ["/products?q=nothing", "no product found"], ["/products/new?mode=test", "a new product"], [`${KEYS}/new`, "the create page"],
        [`${KEYS}?status=revoked&mode=test`, "ended test keys"], ...keyPages,
        ["/settings/integrations/requests", "the requests"]]) {
        await page.goto(at(path));
        check((await page.evaluate(() => window.shifted)) < 0.01, `${what} shifts while it loads`);
        if (path === "/settings/audit") await screenshot(page, "audit");
        if (what === "the page of a key with two tokens") await screenshot(page, "key");
        if (path === "/products") await screenshot(page, "products");
        await look(page, what);
    }
    await page.goto(at("/products"));
    await page.locator("tbody a").first().click();
    await page.getByRole("button", { name: "Save product" }).waitFor();
    await look(page, "a product");
    await page.getByLabel("Unit price").fill("a lot");
    await press(page, "Save product");
    await page.locator("#unitPrice-fault").waitFor();
    await look(page, "a product with a fault");
    await page.goto(`${base}/account`);
    await look(page, "the account");
    await page.getByRole("link", { name: "Leave" }).click();
    await dialog(page).waitFor();
    await look(page, "the leave dialog of the owner");
    await close(page);

    await page.goto(`${base}/docs/reference`);
    await page.locator("#listProducts").waitFor();
    await screenshot(page, "reference");
    await page.locator("[data-try] summary").first().click();
    await press(page, "Create a test key");
    await page.getByText("Created the test key").first().waitFor();
    await look(page, "the reference with a test key");
    await page.locator("[data-try]").first().getByRole("button", { name: "Send request" }).click();
    await page.locator("[data-response] .status, [data-response] .code-head", { hasText: "200" }).first().waitFor();
    for (const [path, what] of [["/docs", "the docs"], ["/docs/errors", "a table in the docs"], ["/docs/search?q=key", "the docs' search"]]) {
        await page.goto(base + path);
        await look(page, what);
    }

    const signedOut = await enter(null);
    await signedOut.goto(link);
    await look(signedOut, "an invitation");
    await signedOut.goto(`${base}/link/nothing`);
    await look(signedOut, "a dead link");
    await signedOut.goto(`${base}/sign-in?next=/account`);
    await look(signedOut, "the sign-in page");
    await signedOut.getByLabel("Email").fill("a@example.com");
    await signedOut.getByLabel("Password", { exact: true }).fill("wrong wrong wrong");
    await press(signedOut, "Sign in");
    await signedOut.getByRole("alert").waitFor();
    await look(signedOut, "the sign-in page after a wrong password");
    await signedOut.getByLabel("Password", { exact: true }).pressSequentially("w");
    check((await signedOut.locator("[aria-invalid]").count()) === 0, "a field is still marked as wrong while it is corrected");
});

await scenario("a leaked key", async () => {
    const { token } = demo.shell("key", "create", "--team", team.slug, "--name", "Leaked", "--mode", "test", "--scope", "read_only");
    const finder = await enter(null);
    await finder.goto(`${base}/leaks`);
    await look(finder, "the leak report");
    await finder.getByLabel(/^Token, or/).fill("no token here");
    await press(finder, "Report");
    await finder.locator("#token-fault").waitFor();
    await look(finder, "the leak report with a fault");
    await finder.getByLabel(/^Token, or/).fill(`found: ${token}`);
    await press(finder, "Report");
    await finder.getByText("1 token was reported").waitFor();
    await look(finder, "the leak report after a report");
    await owner.goto(at(KEYS));
    await owner.getByText("A key was reported as leaked").waitFor();
    await look(owner, "API keys with a leak notice");
});

await scenario("pages of a member without permission", async () => {
    const page = await open(browser, base, { reducedMotion: "reduce", expected: ["403", "404"] });
    await page.goto(demo.reset("member@example.com"));
    await look(page, "choosing a password");
    await page.getByLabel("New password", { exact: true }).fill("nine lives of a cat");
    await press(page, "Set password");
    await page.waitForURL("**/products");
    await page.goto(at(KEYS));
    await look(page, "403");
    await page.goto(at("/nowhere"));
    await look(page, "404");
    await page.goto(at("/products"));
    await page.locator("tbody a").first().click();
    await page.getByText("Members can view products").waitFor();
    await look(page, "a product that can only be read");
    await page.goto(`${base}/account`);
    await page.getByRole("link", { name: "Leave" }).click();
    await dialog(page).waitFor();
    await look(page, "the leave dialog");
});

await scenario("confirm it's you", async () => {
    const page = await open(browser, base, { reducedMotion: "reduce", expected: ["403"] });
    await page.goto(demo.reset("admin@example.com"));
    await page.getByLabel("New password", { exact: true }).fill("nine lives of a cat");
    await press(page, "Set password");
    await page.waitForURL("**/products");
    demo.age(16);
    // A live key needs a recent password; a revocation does not.
    await page.goto(at(`${KEYS}/new`));
    await page.getByLabel("Key name").fill("Night shift");
    await page.getByRole("radio", { name: /^Live/ }).check();
    await page.getByRole("radio", { name: /^Read-only/ }).check();
    await press(page, "Create key");
    await page.getByLabel("Password", { exact: true }).waitFor();
    await look(page, "the confirm dialog");
});

await scenario("an empty team, ten keys, and the longest names", async () => {
    const page = owner;
    const long = "Wolkenhöhenmesser".repeat(15);
    const { slug } = demo.shell("team", "create", long.slice(0, 100), "--owner", "owner@example.com", "--existing-account");
    await page.context().clearCookies({ name: /_team$/ });
    await page.goto(`${base}/`);
    await page.getByRole("heading", { name: "Your teams" }).waitFor();
    await look(page, "the choice of teams");
    await page.goto(`${base}/t/${slug}${KEYS}`);
    await look(page, "no keys yet");
    for (let n = 0; n < 10; n++) demo.shell("key", "create", "--team", slug, "--name", long.slice(n, n + 100), "--mode", "live", "--scope", "read_write");
    await page.reload();
    await look(page, "ten keys with long names");
    // The dialog gives the reason.
    await page.getByRole("link", { name: "Create API Key" }).click({ force: true });
    await dialog(page).getByText("the maximum").waitFor();
    await look(page, "the create dialog when there are ten keys");
    await close(page);
    await page.getByLabel(/^Actions for/).first().click();
    await page.getByRole("link", { name: "Revoke", exact: true }).first().click();
    await dialog(page).waitFor();
    await look(page, "the revoke dialog with a long name");
    await close(page);
    await page.goto(`${base}/t/${slug}/products`);
    await look(page, "no products yet, with the checklist");
    await page.goto(`${base}/t/${slug}/products/new`);
    await page.getByLabel("Name", { exact: true }).fill(long);
    await page.getByLabel("Unit price").fill("999999999.9999");
    await page.getByLabel("Currency").fill("EUR");
    await page.getByLabel("SKU").fill(long.slice(0, 100));
    await page.getByLabel("Unit of measure").fill(long.slice(0, 50));
    await press(page, "Create product");
    await page.locator(".toast .done").waitFor();
    await look(page, "a product with long names");
    await page.getByRole("button", { name: /^Switch team/ }).click();
    await inspect(page, "the open team switcher, light, 1280");
});

await scenario("magnified, with less motion, in forced colors", async () => {
    const storageState = await owner.context().storageState();
    for (const path of ["/products", KEYS, `${KEYS}/new`, "/settings", "/settings/members", "/settings/audit", "/products/new"]) {
        // 200 % of a window of 1280: half its width, twice the pixels.
        const page = await open(browser, base, { viewport: { width: 640, height: 400 }, deviceScaleFactor: 2, storageState });
        await page.goto(at(path));
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        check(wide <= 640, `${path} scrolls sideways at 200 %: ${wide}`);
        await page.context().close();
    }

    const page = await enter(null, { storageState });
    await page.goto(at(KEYS));
    await page.getByRole("link", { name: "Create API Key" }).click();
    await dialog(page).waitFor();
    const moving = () => page.evaluate(() => document.getAnimations().length + (getComputedStyle(document.querySelector("dialog")).animationName === "none" ? 0 : 1));
    check((await moving()) === 0, "the dialog moves under prefers-reduced-motion");
    await close(page);
    await page.emulateMedia({ forcedColors: "active", reducedMotion: "reduce" });
    await screenshot(page, "forced-colors");
    await page.getByRole("link", { name: "Create API Key" }).click();
    await dialog(page).waitFor();
    await page.getByRole("radio", { name: /^Live/ }).check();
    await screenshot(page, "forced-colors-create");
    const line = await page.locator("dialog .choice").first().evaluate((choice) => getComputedStyle(choice).borderTopStyle);
    check(line === "solid", "choices have no edges in forced colors");
});

// What is tapped, where a tap reaches less than 44 px of it. Links in a sentence are as high as its lines (WCAG 2.5.5).
const smallTargets = (page) => page.evaluate(() => {
    const NEEDED = 43.5;
    const isTapped = (element) => {
        const { width, height, left, right } = element.getBoundingClientRect();
        const isHidden = element.matches(".unseen") || getComputedStyle(element.closest("thead") ?? element).position === "absolute";
        const hasText = [...element.parentNode.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
        const isInSentence = getComputedStyle(element).display === "inline" && hasText;
        return width && height && right > 0 && left < innerWidth && !isHidden && !isInSentence && element.checkVisibility({ opacityProperty: true });
    };
    const reach = (element) => {
        element.scrollIntoView({ block: "center" });
        const box = element.getBoundingClientRect();
        const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
        const hits = (dx, dy) => {
            const hit = document.elementFromPoint(x + dx, y + dy);
            return hit && (element.contains(hit) || hit.closest("label")?.control === element);
        };
        const steps = (dx, dy) => {
            let n = 0;
            while (n < NEEDED && hits(dx * (n + 1), dy * (n + 1))) n++;
            return n;
        };
        return [Math.max(box.width, steps(-1, 0) + steps(1, 0) + 1), Math.max(box.height, steps(0, -1) + steps(0, 1) + 1)];
    };
    const targets = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, label:has(input)")];
    return targets.filter((element) => !(element.matches("input") && element.closest("label")) && isTapped(element))
        .map((element) => [element, reach(element)]).filter(([, [width, height]]) => width < NEEDED || height < NEEDED)
        .map(([element, [width, height]]) => `${element.getAttribute("aria-label") ?? element.textContent.trim()} ${width} x ${height}`);
});

await scenario("by touch, everything is 44 px high and wide", async () => {
    const storageState = await owner.context().storageState();
    const ids = new Map(demo.shell("key", "list", "--team", team.slug).map(({ name, id }) => [name, id]));
    const key = `${KEYS}/${ids.get("Warehouse display")}`;
    const paths = [...["/products", "/products/new", "/settings", "/settings/members", "/settings/members/invite", "/settings/integrations",
        "/settings/integrations/requests", "/settings/audit", KEYS, `${KEYS}/new`, `${KEYS}/find`, key, `${key}/rename`, `${key}/pause`,
        `${key}/rotate`, `${key}/conditions`, `${key}/revoke`, `${key}/end-former`].map(at),
        ...["/account", "/leaks", "/docs", "/docs/errors", "/docs/reference", "/docs/search?q=revoke"].map((path) => base + path)];
    for (const width of [768, 390, 320]) {
        const page = await open(browser, base, { viewport: { width, height: 800 }, hasTouch: true, isMobile: true, reducedMotion: "reduce", storageState });
        for (const url of paths) {
            await page.goto(url);
            const small = await smallTargets(page);
            check(small.length === 0, `${url} at ${width}: ${small.join("; ")}`);
        }
        await page.context().close();
    }
});

await scenario("as a page of its own, a dialog starts at its top", async () => {
    const storageState = await owner.context().storageState();
    const ids = new Map(demo.shell("key", "list", "--team", team.slug).map(({ name, id }) => [name, id]));
    const page = await open(browser, base, { viewport: { width: 320, height: 568 }, hasTouch: true, isMobile: true, storageState });
    await page.goto(at(`${KEYS}/${ids.get("Warehouse display")}/revoke`));
    const { top, focus } = await page.evaluate(() => ({ top: scrollY, focus: document.activeElement.textContent }));
    check(top === 0 && focus === "Keep key", `scrolled by ${top}, the focus is on ${focus}`);
    await page.context().close();
});

await browser.close();
if (process.exitCode) fail("some pages have faults");
process.exit();
