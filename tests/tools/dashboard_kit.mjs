// What the dashboard's browser tests share: the real server, a browser that tells on the page, and small steps.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const { chromium } = await import(process.env.PLAYWRIGHT);
const axe = readFileSync(process.env.AXE, "utf8");

export const fail = (why) => {
    console.error(why);
    process.exitCode = 1;
};
export const check = (good, why) => good || fail(why);

/** Runs every test, also after one has failed. */
export const story = async (name, tell) => {
    const begun = Date.now();
    try {
        await tell();
    } catch (error) {
        fail(`${name}: ${error.stack ?? error}`);
    }
    console.log(`${name}: ${Date.now() - begun} ms`);
};

/** Asks again until the answer is yes: some things are true only soon. */
export const until = async (what, ask, within = 60_000) => {
    for (const end = Date.now() + within; Date.now() < end; ) {
        if (await ask()) return;
        await new Promise((next) => setTimeout(next, 100));
    }
    throw new Error(`never: ${what}`);
};

const settings = { PATH: process.env.PATH, KEYHOUSE_LOG: "warn", KEYHOUSE_SHUTDOWN_GRACE_SECONDS: "0" };

/** `keyhouse serve` or `keyhouse demo` with a folder of its own; gone with this program. */
export const start = async (command, env = {}) => {
    const data = mkdtempSync(join(tmpdir(), "keyhouse-"));
    const child = spawn(process.env.KEYHOUSE, [command, "--data", data, "--listen", "127.0.0.1:0", "--json"], {
        env: { ...settings, ...env },
        stdio: ["ignore", "pipe", "inherit"],
    });
    process.on("exit", () => {
        child.kill("SIGKILL");
        rmSync(data, { recursive: true, force: true });
    });
    const said = await new Promise((ready, broken) => {
        createInterface(child.stdout).once("line", (line) => ready(JSON.parse(line)));
        child.once("exit", () => broken(new Error("keyhouse ended")));
    });
    const shell = (...words) =>
        JSON.parse(execFileSync(process.env.KEYHOUSE, [...words, "--data", data, "--json"], { env: settings, encoding: "utf8" }));
    // As if all had signed in some time ago: the real clock can't be turned.
    const age = (minutes) => execFileSync("python3", ["-c", `import sqlite3
with sqlite3.connect("${join(data, "keyhouse.db")}", timeout=10) as db:
    db.execute("UPDATE sessions SET authenticated_at = authenticated_at - ${minutes * 60_000}")`]);
    const url = new URL(said.url);
    // As the browser calls it: the name that the tests are run with, which is not what the server calls itself.
    const base = `http://${process.env.NAME ?? url.hostname}:${url.port}`;
    const here = (link) => link.replace(/^https?:\/\/[^/]+/, base);
    const reset = (email) => here(shell("person", "reset", email).link);
    return { ...said, data, base, here, shell, reset, age };
};

/** As readers have it: with the memory of pages that Playwright would turn off. */
export const launch = () => chromium.launch({
    executablePath: "/usr/bin/chromium",
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP keyhouse.test 127.0.0.1"],
});

/** A browser window of its own, with cookies of its own, that fails at whatever a page does wrong. `expected`: what the
 * console may say. */
export const open = async (browser, base, { expected = [], ...options } = {}) => {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
    context.setDefaultTimeout(60_000);
    await context.addInitScript(() => {
        document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective}`));
        window.shifted = 0;
        new PerformanceObserver((list) => {
            for (const entry of list.getEntries()) window.shifted += entry.hadRecentInput ? 0 : entry.value;
        }).observe({ type: "layout-shift", buffered: true });
        addEventListener("pageshow", (event) => event.persisted && sessionStorage.setItem("restored", "yes"));
    });
    context.on("page", (page) => {
        page.on("console", (message) => {
            const said = message.text();
            const failed = said.startsWith("Failed to load resource:") && expected.some((word) => said.includes(word));
            if (["error", "warning"].includes(message.type()) && !failed) fail(`${page.url()}: console: ${said}`);
        });
        page.on("pageerror", (error) => fail(`${page.url()}: ${error.stack}`));
        page.on("request", (request) => {
            const url = new URL(request.url());
            check([base, "data:", "blob:"].includes(url.origin === "null" ? url.protocol : url.origin), `another host: ${url}`);
        });
        page.on("response", (response) => check(response.status() < 500, `${response.status()} at ${response.url()}`));
    });
    return context.newPage();
};

/** What an engine for accessibility finds, and what does not fit the width. */
export const inspect = async (page, where) => {
    if (!(await page.evaluate(() => Boolean(window.axe)))) await page.evaluate(axe);
    const { violations, wide } = await page.evaluate(async () => {
        // A dialog makes the page behind it inert, and an open menu covers rows: the page itself is inspected without them.
        const { violations } = await window.axe.run(document.querySelector("dialog[open], details.menu[open]") ?? document, {
            runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"],
            resultTypes: ["violations"],
        });
        const box = document.querySelector("dialog[open]") ?? document.documentElement;
        return { violations, wide: box.scrollWidth > box.clientWidth && `${box.scrollWidth} in ${box.clientWidth}` };
    });
    for (const { id, nodes } of violations) {
        fail(`${where}: ${id} at ${nodes.map((node) => `${node.target.join(" ")} (${node.any[0]?.message ?? ""})`).slice(0, 3).join(", ")}`);
    }
    check(!wide, `${where}: scrolls sideways: ${wide}`);
};

/** Goes there by Tab alone. */
export const tabTo = async (page, target) => {
    for (let presses = 0; presses < 80; presses++) {
        if (await target.evaluate((node) => node === document.activeElement)) return;
        await page.keyboard.press("Tab");
    }
    throw new Error(`Tab does not lead to ${target}`);
};

/** The first status that is not 503: a node that got no processor for three seconds has no lease. */
const settled = async (ask) => {
    for (let tries = 0; ; tries++) {
        const status = await ask();
        if (status !== 503 || tries === 20) return status;
        await new Promise((next) => setTimeout(next, 500));
    }
};

/** The status of an API call. */
export const call = ({ url }, token) =>
    settled(async () => (await fetch(`${url}/api/v1/products`, { headers: { Authorization: `Bearer ${token}` } })).status);

/** Runs a cURL line as it was copied; the status it gets. */
export const curl = (line, { base }) => {
    const { hostname, port } = new URL(base);
    const script = `${line} -s -o /dev/null -w '%{http_code}' --resolve ${hostname}:${port}:127.0.0.1`;
    return settled(() => Number(execFileSync("bash", ["-c", script], { encoding: "utf8" })));
};

/** What the clipboard holds, as it arrives elsewhere. */
export const pasted = async (page) => {
    const tab = await page.context().newPage();
    await tab.goto(new URL("/docs", page.url()).href);
    await tab.evaluate(() => document.body.append(document.createElement("textarea")));
    const field = tab.locator("textarea");
    await field.focus();
    await tab.keyboard.press("Control+V");
    const text = await field.inputValue();
    await tab.close();
    await page.bringToFront();
    return text;
};

export const TOKEN = /pk_(?:live|test)_[0-9A-Za-z]{42}/;
