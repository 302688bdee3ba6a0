// Uses /docs/reference as a reader does, and checks every page of the guide in light and dark, wide and narrow.
import { readFileSync } from "node:fs";

const { chromium } = await import(process.env.PLAYWRIGHT);
const base = process.argv[2];
const fail = (why) => {
    console.error(why);
    process.exitCode = 1;
};

const browser = await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync"],
});
const open = async (options) => {
    const page = await (await browser.newContext(options)).newPage();
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && fail(`console: ${message.text()}`));
    page.on("pageerror", (error) => fail(`error: ${error}`));
    page.on("request", (request) => {
        const url = request.url();
        if (!url.startsWith(base) && !url.startsWith("data:")) fail(`another host: ${url}`);
    });
    await page.addInitScript(() => {
        document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective}`));
    });
    return page;
};

// Try it.
const page = await open({});
await page.goto(`${base}/docs/reference`);
const tryIt = (operation) => page.locator("section", { has: page.locator(`#${operation}`) }).locator("[data-try]");
const answer = async (operation) => {
    await tryIt(operation).getByRole("button", { name: "Send request" }).click();
    await tryIt(operation).locator("[data-response]:not([hidden])").waitFor();
    return tryIt(operation).locator("[data-response] .code-head").innerText();
};
await tryIt("listProducts").locator("summary").click();
await tryIt("listProducts").getByLabel("Token").fill(process.env.TOKEN);
await tryIt("listProducts").getByLabel("limit").fill("1");
const listed = await answer("listProducts");
if (!listed.startsWith("200")) fail(`list products: ${listed}`);
await tryIt("createProduct").locator("summary").click();
if ((await tryIt("createProduct").getByLabel("Token").inputValue()) !== process.env.TOKEN) fail("the token is to be typed again");
const created = await answer("createProduct");
if (!created.startsWith("201")) fail(`create a product: ${created}`);
const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]) + location.href + document.title);
if (stored.includes(process.env.TOKEN.slice(8))) fail("the token is kept by the browser");
await page.reload();
if ((await page.content()).includes(process.env.TOKEN.slice(8))) fail("the token outlives the page");

// Languages: the choice applies to the next page, and choosing does not move the example on the screen.
await page.goto(`${base}/docs/endpoints`);
await page.locator(".tabs").first().getByRole("link", { name: "Python" }).click();
await page.locator("#example-1 pre", { hasText: "requests.post" }).waitFor();
await page.goto(`${base}/docs/authentication`);
if (!(await page.locator("#example-1 pre").innerText()).includes("requests.get")) fail("the language is forgotten");
await page.keyboard.press("/");
await page.keyboard.type("restore");
await page.keyboard.press("Enter");
await page.getByRole("heading", { name: "Restore a product", exact: true }).waitFor();

// Every page in both themes and all widths, with axe-core.
const axe = readFileSync(process.env.AXE, "utf8");
for (const colorScheme of ["light", "dark"]) {
    for (const width of [320, 1280]) {
        const page = await open({ colorScheme, viewport: { width, height: 900 }, reducedMotion: "reduce" });
        await page.goto(`${base}/docs`);
        const paths = await page.locator("#nav li a").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
        if (paths.length < 10) fail(`too few pages: ${paths}`);
        for (const path of paths) {
            await page.goto(base + path, { waitUntil: "networkidle" });
            const wide = await page.evaluate(() => document.documentElement.scrollWidth);
            if (wide > width) fail(`${path} scrolls sideways at ${width}: ${wide}`);
            const dead = await page.locator("a[href^='#'], a[href^='/docs']").evaluateAll((links) =>
                Promise.all(links.map(async (link) => ((await fetch(link.href)).ok ? null : link.href))));
            for (const link of dead.filter(Boolean)) fail(`${path}: dead link ${link}`);
            if (path.endsWith("/reference")) await page.locator("[data-try] summary").nth(1).click();
            // The click has scrolled the page, so that the sticky header covers a button.
            await page.evaluate(() => scrollTo(0, 0));
            await page.evaluate(axe);
            const found = await page.evaluate(() => window.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"] }));
            for (const { id, nodes } of found.violations) {
                fail(`${path} ${colorScheme} ${width}: ${id} at ${nodes.map((node) => node.target.join(" ")).slice(0, 3).join(", ")}`);
            }
        }
    }
}

// Without JavaScript the pages have the same content, in every language.
const plain = await open({ javaScriptEnabled: false });
await plain.goto(`${base}/docs/reference?lang=go`);
if (!(await plain.locator("#example-getKey pre").innerText()).includes("http.NewRequest")) fail("no Go without JavaScript");
if ((await plain.locator("[data-try]:visible, [data-copy]:visible").count()) > 0) fail("dead buttons without JavaScript");

await browser.close();
