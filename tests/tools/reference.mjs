// Drives /docs/reference as a reader would, and opens every page of the guide in light and dark, wide and narrow.
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

// Try it out.
const page = await open({});
await page.goto(`${base}/docs/reference`);
await page.getByRole("button", { name: "Authorize" }).click();
await page.locator(".auth-container input").fill(process.env.TOKEN);
await page.locator(".auth-btn-wrapper .authorize").click();
await page.locator(".auth-btn-wrapper .btn-done").click();
await page.locator("#operations-Products-listProducts .opblock-summary-control").click();
await page.locator("#operations-Products-listProducts .try-out__btn").click();
await page.locator("#operations-Products-listProducts .execute").click();
const status = page.locator("#operations-Products-listProducts .live-responses-table .response-col_status");
await status.first().waitFor();
const said = (await page.locator("#operations-Products-listProducts .live-responses-table tbody .response-col_status").innerText()).trim();
if (!said.startsWith("200")) fail(`try it out: ${said}`);
const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]) + location.href + document.title);
if (stored.includes(process.env.TOKEN.slice(8))) fail("the token is kept by the browser");
await page.reload();
if ((await page.content()).includes(process.env.TOKEN.slice(8))) fail("the token outlives the page");

// Every page, as others see it, and as an engine for accessibility does.
const axe = readFileSync(process.env.AXE, "utf8");
for (const colorScheme of ["light", "dark"]) {
    for (const width of [320, 1280]) {
        const page = await open({ colorScheme, viewport: { width, height: 900 }, reducedMotion: "reduce" });
        await page.goto(`${base}/docs`);
        const paths = await page.locator("nav a").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
        if (paths.length < 8) fail(`too few pages: ${paths}`);
        for (const path of paths) {
            await page.goto(base + path, { waitUntil: "networkidle" });
            const wide = await page.evaluate(() => document.documentElement.scrollWidth);
            if (wide > width) fail(`${path} scrolls sideways at ${width}: ${wide}`);
            const dead = await page.locator("a[href^='#'], a[href^='/docs']").evaluateAll((links) =>
                Promise.all(links.map(async (link) => ((await fetch(link.href)).ok ? null : link.href))));
            for (const link of dead.filter(Boolean)) fail(`${path}: dead link ${link}`);
            const call = page.locator("#operations-Products-createProduct .opblock-summary-control");
            if (path.endsWith("/reference")) await call.click();
            await page.evaluate(axe);
            const found = await page.evaluate(() => window.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"] }));
            for (const { id, nodes } of found.violations) {
                fail(`${path} ${colorScheme} ${width}: ${id} at ${nodes.map((node) => node.target.join(" ")).slice(0, 3).join(", ")}`);
            }
        }
    }
}

// Without JavaScript every page but the reference's trials is whole.
const plain = await open({ javaScriptEnabled: false });
await plain.goto(`${base}/docs/reference`);
if (!(await plain.locator("noscript, main").first().isVisible())) fail("nothing without JavaScript");

await browser.close();
