// Shared by the browser tests of the dashboard: a real server, a browser that reports errors of the page, and common steps.
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

/** Runs a scenario; a failed one does not stop the others. */
export const scenario = async (name, run) => {
    const started = Date.now();
    try {
        await run();
    } catch (error) {
        fail(`${name}: ${error.stack ?? error}`);
    }
    console.log(`${name}: ${Date.now() - started} ms`);
};

/** Polls until the condition holds, or fails after `within` milliseconds. */
export const until = async (what, ask, within = 60_000) => {
    for (const end = Date.now() + within; Date.now() < end; ) {
        if (await ask()) return;
        await new Promise((next) => setTimeout(next, 100));
    }
    throw new Error(`did not happen in time: ${what}`);
};

const settings = { PATH: process.env.PATH, KEYHOUSE_LOG: "warn", KEYHOUSE_SHUTDOWN_GRACE_SECONDS: "0" };

/** Starts `keyhouse serve` or `keyhouse demo` with a data folder of its own. Both are removed when this program exits. */
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
    const printed = await new Promise((ready, broken) => {
        createInterface(child.stdout).once("line", (line) => ready(JSON.parse(line)));
        child.once("exit", () => broken(new Error("keyhouse ended")));
    });
    const shell = (...words) =>
        JSON.parse(execFileSync(process.env.KEYHOUSE, [...words, "--data", data, "--json"], { env: settings, encoding: "utf8" }));
    // Moves all sign-ins into the past, because the server's clock can't be changed.
    const age = (minutes) => execFileSync("python3", ["-c", `import sqlite3
with sqlite3.connect("${join(data, "keyhouse.db")}", timeout=10) as db:
    db.execute("UPDATE sessions SET authenticated_at = authenticated_at - ${minutes * 60_000}")`]);
    const url = new URL(printed.url);
    // The address that the browser uses: with the host name of this run, not the one that the server printed.
    const base = `http://${process.env.NAME ?? url.hostname}:${url.port}`;
    const here = (link) => link.replace(/^https?:\/\/[^/]+/, base);
    const reset = (email) => here(shell("person", "reset", email).link);
    return { ...printed, data, base, here, shell, reset, age };
};

/** Chromium with its back-forward cache, which Playwright turns off. */
export const launch = () => chromium.launch({
    executablePath: "/usr/bin/chromium",
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP keyhouse.test 127.0.0.1"],
});

/** A page with cookies of its own. Errors in the console, violations of the policy and responses of 5xx fail the test; `expected`
 * lists failed requests that may appear in the console. */
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
            const text = message.text();
            const failed = text.startsWith("Failed to load resource:") && expected.some((word) => text.includes(word));
            if (["error", "warning"].includes(message.type()) && !failed) fail(`${page.url()}: console: ${text}`);
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

/** Fails for each violation that axe-core finds, and if the page scrolls sideways. */
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

/** Presses Tab until the target has the focus. */
export const tabTo = async (page, target) => {
    for (let presses = 0; presses < 80; presses++) {
        if (await target.evaluate((node) => node === document.activeElement)) return;
        await page.keyboard.press("Tab");
    }
    throw new Error(`Tab does not lead to ${target}`);
};

/** The first status that is not 503: on a busy machine a node may lose its lease for some seconds. */
const settled = async (ask) => {
    for (let tries = 0; ; tries++) {
        const status = await ask();
        if (status !== 503 || tries === 20) return status;
        await new Promise((next) => setTimeout(next, 500));
    }
};

/** The status of an API call with this token. */
export const call = ({ url }, token) =>
    settled(async () => (await fetch(`${url}/api/v1/products`, { headers: { Authorization: `Bearer ${token}` } })).status);

/** Runs a copied cURL command; returns the status of the response. */
export const curl = (line, { base }) => {
    const { hostname, port } = new URL(base);
    const script = `${line} -s -o /dev/null -w '%{http_code}' --resolve ${hostname}:${port}:127.0.0.1`;
    return settled(() => Number(execFileSync("bash", ["-c", script], { encoding: "utf8" })));
};

/** The text of the clipboard, pasted into another page. */
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
