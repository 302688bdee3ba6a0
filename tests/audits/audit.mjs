// Lighthouse and pa11y on nine pages of the demo, as its owner. Prints a table; exits with 1 below 100 or with an error.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const need = createRequire(join(process.env.AUDITS, "package.json"));
const load = (name) => import(need.resolve(name));
const { default: lighthouse, desktopConfig } = await load("lighthouse");
const { default: pa11y } = await load("pa11y");
const { default: puppeteer } = await load("puppeteer-core");

const data = mkdtempSync(join(tmpdir(), "keyhouse-"));
const demo = spawn(process.env.KEYHOUSE, ["demo", "--data", data, "--listen", "127.0.0.1:0", "--json"], {
    env: { PATH: process.env.PATH, KEYHOUSE_LOG: "warn" },
    stdio: ["ignore", "pipe", "inherit"],
});
process.on("exit", () => {
    demo.kill("SIGKILL");
    rmSync(data, { recursive: true, force: true });
});
const { url, team, people } = await new Promise((ready) =>
    createInterface(demo.stdout).once("line", (line) => ready(JSON.parse(line))));

const browser = await puppeteer.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage();
await page.goto(people.find((person) => person.role === "owner").link);
await Promise.all([page.waitForNavigation(), page.click("main form button")]);

const settings = `/t/${team.slug}/settings`;
await page.goto(`${url}${settings}/integrations/api-keys`);
// A key with weeks of usage.
const key = await page.$$eval("tbody th a", (links) => links.find((link) => link.textContent === "Warehouse display").pathname);
const pages = {
    Products: `/t/${team.slug}/products`,
    "API Keys": `${settings}/integrations/api-keys`,
    Key: key,
    Members: `${settings}/members`,
    "Audit log": `${settings}/audit`,
    Settings: settings,
    Account: "/account",
    Docs: "/docs",
    Reference: "/docs/reference",
};
// A busy processor makes a page only slower, so the best of some runs says how fast it is. The other scores do not vary.
const RUNS = 5;

let failed = false;
const rows = [];
for (const [name, path] of Object.entries(pages)) {
    const row = { page: name };
    for (const [device, config] of [["desktop", desktopConfig], ["mobile", undefined]]) {
        const speed = ({ lhr }) => lhr.categories.performance.score ?? 0;
        let result;
        let runs = 0;
        do {
            const next = await lighthouse(url + path, { logLevel: "error", disableStorageReset: true }, config, page);
            if (!result || speed(next) > speed(result)) result = next;
        } while (++runs < RUNS && speed(result) < 1);
        row[`runs ${device}`] = runs;
        for (const category of Object.values(result.lhr.categories)) {
            const score = Math.round((category.score ?? 0) * 100);
            row[`${category.id} ${device}`] = score;
            if (score === 100) continue;
            failed = true;
            const audits = category.auditRefs.map((ref) => result.lhr.audits[ref.id]);
            const bad = audits.filter((audit) => audit.score !== null && audit.score < 1).map((audit) => audit.title);
            console.error(`${name}, ${device}, ${category.title}: ${score}: ${bad.join("; ")}`);
        }
    }
    const { issues } = await pa11y(url + path, { browser, standard: "WCAG2AA" });
    row.pa11y = issues.length;
    for (const issue of issues) console.error(`${name}, pa11y: ${issue.code}: ${issue.message}\n  ${issue.context}`);
    failed ||= issues.length > 0;
    rows.push(row);
}
console.table(rows);
await browser.close();
process.exit(failed ? 1 : 0);
