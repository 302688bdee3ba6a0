// The dashboard with JavaScript: dialogs instead of pages, lists that change without a reload, Copy, local times, shortcuts.
// Everything works without it: each link leads to a page and each form is sent.

const here = new URL(location.href);
const find = (root, selector) => root.querySelector(selector);
const all = (root, selector) => [...root.querySelectorAll(selector)];

// A live region: its text is announced by screen readers.
const live = document.createElement("p");
live.className = "unseen";
live.setAttribute("role", "status");
document.body.append(live);
const say = (text) => {
    live.textContent = "";
    setTimeout(() => (live.textContent = text), 50);
};

// ---- The one dialog.

const dialog = document.createElement("dialog");
dialog.setAttribute("aria-labelledby", "sheet-title");
document.body.append(dialog);
let opener = null;

// A field with an error is scrolled into view. Otherwise the dialog starts at its top: a dialog that replaces another keeps
// the scroll position, and the new one's title and token would be out of view on a small screen.
const focusIn = (root) => {
    const wrong = find(root, "[aria-invalid]");
    if (wrong) {
        (wrong.matches("fieldset") ? find(wrong, "input") : wrong)?.focus();
        if (wrong.select && wrong.type !== "radio") wrong.select();
        return;
    }
    (find(root, "[autofocus]") ?? find(root, "h1"))?.focus({ preventScroll: true });
    root.scrollTop = 0;
};

const show = (sheet) => {
    sheet.removeAttribute("aria-labelledby");
    dialog.replaceChildren(sheet);
    enhance(dialog);
    if (!dialog.open) dialog.showModal();
    focusIn(dialog);
};

const unsaved = () => {
    const reveal = find(dialog, "[data-reveal]");
    return reveal && !reveal.dataset.copied ? reveal : null;
};

// However the dialog is closed (browsers close it on a second Escape, past every guard), its content is removed, and a list
// that has changed is loaded again.
dialog.addEventListener("close", async () => {
    const list = find(dialog, "[data-list]")?.dataset.list;
    // Empty: another page replaces this one.
    const over = !dialog.firstChild;
    wipe(dialog);
    dialog.replaceChildren();
    if (list) await visit(list);
    else if (!over) restoreFocus();
});
const leave = () => dialog.close();

const guard = () => {
    const reveal = unsaved();
    if (!reveal) return leave();
    find(reveal, "[data-guard]").hidden = false;
    find(reveal, "[data-last]").hidden = true;
    find(reveal, "[data-keep]").focus();
};

dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    guard();
});

const restoreFocus = () => {
    const target = opener?.isConnected ? opener : find(document, "main h1");
    target?.focus();
    opener = null;
};

// ---- Fetching pages.

const parse = (text) => new DOMParser().parseFromString(text, "text/html");

// Loads a page; null if the browser goes to another page instead. A response that is not a page of the dashboard (a proxy's
// error) and a 5xx are errors: it is unknown whether the request was processed.
const load = async (url, options = {}) => {
    const response = await fetch(url, { ...options, headers: { Accept: "text/html", ...options.headers } });
    if (new URL(response.url).pathname === "/sign-in") {
        location.assign(response.url);
        return null;
    }
    const page = parse(await response.text());
    if (response.status >= 500 || !find(page, "#main")) throw new Error(`status ${response.status}`);
    return { page, url: response.url };
};

// What an address says of the change that led to it.
const REPORTED = ["done", "product", "invitation"];

// Puts another page in place of this one, without its side effects on scrolling and focus.
const replace = ({ page, url }) => {
    for (const selector of ["main", "#nav"]) {
        const [old, fresh] = [find(document, selector), find(page, selector)];
        if (old && fresh) old.replaceChildren(...fresh.childNodes);
    }
    document.title = page.title;
    const address = new URL(url);
    const about = address.searchParams.get("key");
    for (const name of REPORTED) address.searchParams.delete(name);
    if (address.pathname.endsWith("/api-keys")) address.searchParams.delete("key");
    history.replaceState(null, "", address);
    enhance(document);
    const done = find(document, ".toast .done");
    if (done) say(done.textContent);
    const row = about && document.getElementById(about);
    const wrong = find(document, "main [data-summary]") ?? find(document, "main [aria-invalid]:not(fieldset)");
    const target = wrong ?? (row && find(row, "summary")) ?? find(document, "main h1") ?? find(document, "main");
    opener = null;
    target?.focus();
};

const visit = async (url) => {
    try {
        const loaded = await load(url);
        if (loaded) replace(loaded);
    } catch {
        location.assign(url);
    }
};

// ---- Links that open as dialogs.

document.addEventListener("click", async (event) => {
    const link = event.target.closest("a");
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    if (link.hasAttribute("data-close") && dialog.contains(link)) {
        event.preventDefault();
        return guard();
    }
    if (link.hasAttribute("data-saved") && dialog.contains(link)) {
        event.preventDefault();
        const reveal = find(dialog, "[data-reveal]");
        if (reveal) reveal.dataset.copied = "said";
        return leave();
    }
    if (!link.hasAttribute("data-open")) return;
    event.preventDefault();
    if (!dialog.contains(link)) {
        const menu = link.closest("details.menu");
        opener = menu ? find(menu, "summary") : link;
        if (menu) menu.open = false;
    }
    try {
        const loaded = await load(link.href);
        const sheet = loaded && find(loaded.page, "[data-sheet]");
        if (sheet) show(sheet);
        else if (loaded) location.assign(link.href);
    } catch {
        location.assign(link.href);
    }
});

// ---- Forms.

// A request that takes longer than 300 ms shows a word in its button, which does not become narrower.
const showProgress = (button) => {
    const label = button && !button.matches(".only-icon, .menu-item") ? [...button.childNodes] : null;
    const timer = setTimeout(() => {
        if (!label) return;
        button.style.minInlineSize = `${button.offsetWidth}px`;
        button.replaceChildren("Working…");
        say("Working…");
    }, 300);
    const restore = () => {
        clearTimeout(timer);
        if (!label) return;
        button.replaceChildren(...label);
        button.style.minInlineSize = "";
    };
    return { restore };
};

document.addEventListener("submit", async (event) => {
    const form = event.target;
    // A password that is shown as text would be offered for autofill as text.
    for (const field of all(form, "input[data-peek]")) field.type = "password";
    if (form.method !== "post" || form.hasAttribute("data-plain") || event.defaultPrevented) return;
    event.preventDefault();
    const button = event.submitter ?? find(form, "button");
    // Ignore a second press while the first is in progress.
    if (form.dataset.busy) return;
    form.dataset.busy = "1";
    button?.setAttribute("aria-busy", "true");
    const progress = showProgress(button);
    find(form, ".offline")?.remove();
    try {
        const body = new URLSearchParams(new FormData(form, event.submitter));
        const loaded = await load(form.action, { method: "POST", body });
        if (!loaded) return;
        const sheet = find(loaded.page, "[data-sheet]");
        if (sheet) {
            if (!dialog.open) opener = button;
            show(sheet);
        } else {
            const undo = renamed(form);
            dialog.close();
            dialog.replaceChildren();
            replace(loaded);
            offerUndo(undo);
        }
    } catch {
        const note = document.createElement("p");
        note.className = "banner bad offline";
        note.setAttribute("role", "alert");
        note.textContent = "Keyhouse can’t be reached or isn’t responding. What you typed is still here. Try again.";
        (find(form, ".body") ?? form).append(note);
        button?.focus();
    } finally {
        delete form.dataset.busy;
        button?.removeAttribute("aria-busy");
        progress.restore();
    }
});

// ---- Undoing a rename: the form again, with the names swapped. They are nowhere but in this page.

const renamed = (form) => {
    const { version, name } = form.elements;
    if (!version?.hasAttribute("data-undo") || version.value === name.value) return null;
    return { action: form.action, for: form.elements.for.value, name: version.value, version: name.value.trim() };
};

const offerUndo = (undo) => {
    const done = find(document, ".toast .done");
    if (!undo || !done || find(document, "main [aria-invalid]")) return;
    const form = document.createElement("form");
    Object.assign(form, { method: "post", action: undo.action });
    for (const field of ["for", "name", "version"]) {
        const input = document.createElement("input");
        Object.assign(input, { type: "hidden", name: field, value: undo[field] });
        form.append(input);
    }
    const button = document.createElement("button");
    button.className = "button low undo";
    button.textContent = "Undo";
    form.append(button);
    done.after(form);
};

// ---- Secrets.

// A token that was not copied is lost with the page: the browser asks before it goes back, reloads or closes.
addEventListener("beforeunload", (event) => {
    if (unsaved()) event.preventDefault();
});

const wipe = (root) => {
    for (const secret of all(root, "[data-secret]")) secret.textContent = "Shown once; it is gone from this page.";
};

// A page that the browser restores from its back/forward cache must show no secret and no old state.
addEventListener("pagehide", () => {
    wipe(document);
    for (const field of all(document, "input[type=password], input[data-peek], textarea[data-wipe]")) field.value = "";
});
addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
});

const select = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
};

// The clipboard API needs a secure context (HTTPS or localhost); elsewhere the selection is copied.
const copy = async (node) => {
    try {
        await navigator.clipboard.writeText(node.textContent);
        return true;
    } catch {
        // The browser copies masked text as dots, so it is shown for the moment of the copy.
        const masked = all(node, ".masked");
        for (const text of masked) text.classList.remove("masked");
        select(node);
        node.focus();
        const done = document.execCommand("copy");
        for (const text of masked) text.classList.add("masked");
        return done;
    }
};

const icon = (button, name) => {
    const use = find(button, "use");
    use.setAttribute("href", use.getAttribute("href").replace(/#.*/, `#${name}`));
};

// Shows for some seconds what has become of a copy. The button keeps its width.
const label = (button, name, text, time) => {
    const words = find(button, "span");
    button.dataset.label ??= words?.innerHTML ?? "";
    icon(button, name);
    if (words) words.textContent = text;
    setTimeout(() => {
        icon(button, "copy");
        if (words) words.innerHTML = button.dataset.label;
    }, time);
};

document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) {
        const node = find(button.closest(".token, .code, .with-copy"), "[data-copied]");
        if (await copy(node)) {
            const reveal = button.closest("[data-reveal]");
            if (reveal) reveal.dataset.copied = "copied";
            label(button, "check", "Copied", 2000);
            say(`Copied the ${button.dataset.copy || "text"}`);
            button.focus();
        } else {
            select(node);
            node.focus();
            say("Press Ctrl+C to copy");
            label(button, "alert", "Ctrl+C", 6000);
        }
        return;
    }
    const eye = event.target.closest("[data-unmask]");
    if (eye) {
        const shown = find(eye.closest(".code"), "[data-mask]").classList.toggle("masked");
        eye.setAttribute("aria-pressed", String(!shown));
    }
    if (event.target.closest("[data-share]")) {
        navigator.share({ url: find(dialog.open ? dialog : document, "[data-secret]").textContent }).catch(() => {});
    }
    if (event.target.closest("[data-keep]")) {
        const reveal = find(dialog, "[data-reveal]");
        find(reveal, "[data-guard]").hidden = true;
        find(reveal, "[data-last]").hidden = false;
        find(reveal, "[data-copy]").focus();
    }
    if (event.target.closest("[data-leave]")) leave();
    if (event.target.matches("code[data-copied]")) select(event.target);
});

// Copying by hand counts as well.
document.addEventListener("copy", () => {
    const reveal = find(dialog, "[data-reveal]");
    if (reveal?.contains(getSelection().anchorNode)) reveal.dataset.copied = "copied";
});

document.addEventListener("focusin", (event) => {
    if (event.target.matches("code[data-secret]")) select(event.target);
});

// ---- Menus: arrows move, letters go to the next entry that starts with them, Escape closes.

document.addEventListener("keydown", (event) => {
    const menu = event.target.closest("details.menu");
    if (!menu) return;
    const items = all(menu, "li a");
    const at = items.indexOf(document.activeElement);
    const step = { ArrowDown: at + 1, ArrowUp: at < 0 ? items.length - 1 : at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (event.key === "Escape") {
        menu.open = false;
        find(menu, "summary").focus();
    } else if (step !== undefined) {
        menu.open = true;
        items[(step + items.length) % items.length].focus();
        event.preventDefault();
    } else if (menu.open && event.key.length === 1 && event.key !== " ") {
        const ahead = [...items.slice(at + 1), ...items.slice(0, at + 1)];
        ahead.find((item) => item.textContent.trim().toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
        event.stopPropagation();
    }
});

document.addEventListener("focusout", (event) => {
    const menu = event.target.closest("details.menu[open]");
    if (menu && event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
});

document.addEventListener("click", (event) => {
    for (const menu of all(document, "details.menu[open]")) {
        if (!menu.contains(event.target)) menu.open = false;
    }
});

// Near the lower edge of the window a menu opens upwards.
document.addEventListener("toggle", (event) => {
    if (!event.target.matches?.("details.menu[open]")) return;
    const list = find(event.target, "ul");
    event.target.classList.remove("up");
    event.target.classList.toggle("up", list.getBoundingClientRect().bottom > innerHeight);
}, true);

// ---- Filters: the list changes in place, its new length is announced, the field keeps the focus.

const filter = async (form) => {
    if (!form.reportValidity()) return;
    const fields = [...new FormData(form)].filter(([, value]) => value);
    const url = new URL(form.action);
    url.search = new URLSearchParams(fields);
    const focused = document.activeElement.id;
    try {
        const loaded = await load(url);
        if (!loaded) return;
        history.pushState(null, "", location.href);
        replace(loaded);
        const field = focused && document.getElementById(focused);
        if (field) {
            field.focus();
            field.setSelectionRange?.(field.value.length, field.value.length);
        }
        // On a narrow page the filters are folded again.
        if (document.activeElement === document.body) find(document, ".fold-button")?.focus();
        const found = all(document, "main caption, main .empty p").map((node) => node.textContent);
        say(found.join(". "));
    } catch {
        location.assign(url);
    }
};

document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-filter]");
    if (form && event.target.matches("select")) filter(form);
});

document.addEventListener("submit", (event) => {
    if (!event.target.matches("form[data-filter]")) return;
    event.preventDefault();
    filter(event.target);
});

addEventListener("popstate", () => location.reload());

// ---- Errors go as soon as their field changes.

const clear = (event) => {
    const field = event.target.closest(".field");
    const fault = field && find(field, ".fault");
    // The error of the sign-in page is about both of its fields; its text stays.
    const wrong = fault ? [field, ...all(field, "[aria-invalid]")] : all(document, ".field [aria-describedby='fault']");
    for (const node of wrong) node.removeAttribute("aria-invalid");
    if (!fault) return;
    fault.remove();
    const summary = find(document, "[data-summary]");
    if (!summary) return;
    all(summary, "a").find((link) => link.hash === `#${event.target.id}`)?.closest("li").remove();
    const left = all(summary, "li").length;
    find(summary, "strong").textContent = `${left} field${left === 1 ? " needs" : "s need"} your attention`;
    if (left === 0) summary.remove();
};
document.addEventListener("input", clear);
document.addEventListener("change", clear);

// ---- Toasts: six seconds, longer while they are hovered or focused.

const toast = (node) => {
    let timer;
    const start = () => (timer = setTimeout(() => node.remove(), 6000));
    const stop = () => clearTimeout(timer);
    for (const name of ["pointerenter", "focusin"]) node.addEventListener(name, stop);
    for (const name of ["pointerleave", "focusout"]) node.addEventListener(name, start);
    find(node, "[data-dismiss]").hidden = false;
    find(node, "[data-dismiss]").addEventListener("click", () => {
        node.remove();
        find(document, "main h1")?.focus();
    });
    start();
};

// ---- Times in the reader's zone.

const zone = new Intl.DateTimeFormat("en-US", { timeZoneName: "short" }).formatToParts().find((part) => part.type === "timeZoneName").value;
const exact = new Intl.DateTimeFormat("en-US", { dateStyle: "medium", timeStyle: "long", hourCycle: "h23" });
const day = new Intl.DateTimeFormat("en-US", { dateStyle: "medium" });
const clock = new Intl.DateTimeFormat("en-US", { timeStyle: "medium", hourCycle: "h23" });
const short = new Intl.DateTimeFormat("en-US", { month: "short", day: "numeric" });
const localize = (root) => {
    for (const time of all(root, "time.when")) {
        // Where the text is the exact time in UTC already.
        if (time.textContent === time.dataset.tip) time.textContent = exact.format(new Date(time.dateTime));
        time.dataset.tip = exact.format(new Date(time.dateTime));
        // One tab stop for a row: its times show their tips while its link or menu has the focus.
        if (time.closest("tr")?.querySelector("a, summary, button")) time.tabIndex = -1;
    }
    for (const time of all(root, "time[data-local], time[data-clock]")) {
        const at = new Date(time.dateTime);
        const strong = find(time, "strong");
        if (time.matches("[data-clock]")) time.textContent = `${short.format(at)}, ${clock.format(at)}`;
        else if (!strong) time.textContent = exact.format(at);
        else {
            strong.textContent = clock.format(at);
            time.replaceChildren(`${day.format(at)} `, strong);
        }
    }
    for (const node of all(root, "[data-zone]")) node.textContent = `Times in ${zone}`;
};

// ---- Shortcuts.

const SHORTCUTS = [["/", "Search"], ["c", "Create"], ["g k", "Go to API Keys"], ["g p", "Go to Products"], ["?", "This list"]];
const shortcuts = () => {
    opener = document.activeElement;
    const sheet = document.createElement("section");
    sheet.className = "sheet";
    const keys = (text) => text.split(" ").map((key) => `<kbd>${key}</kbd>`).join(" ");
    const rows = SHORTCUTS.map(([key, what]) => `<dt>${keys(key)}</dt><dd>${what}</dd>`).join("");
    sheet.innerHTML = `<div class="sheet-head"><div><h1 id="sheet-title" tabindex="-1">Keyboard shortcuts</h1></div></div>
        <div class="body"><dl class="facts">${rows}</dl></div><div class="sheet-foot"><button type="button" class="button" data-leave>Close</button></div>`;
    show(sheet);
};

let went = 0;
document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
    if (event.target.closest("input, textarea, select, details.menu[open]")) return;
    const go = event.timeStamp - went < 1000;
    went = 0;
    const target = {
        "/": () => find(document, "#q")?.focus(),
        "?": shortcuts,
        c: () => find(document, "[data-create]")?.click(),
        g: () => (went = event.timeStamp),
        k: () => go && find(document, "#nav a[href$='/settings/integrations']") && location.assign(`${find(document, "#nav a[href$='/settings/integrations']").href}/api-keys`),
        p: () => go && find(document, "#nav a[href$='/products']")?.click(),
    }[event.key];
    if (!target) return;
    event.preventDefault();
    target();
});
document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-shortcuts]")) return;
    find(document, "#person").hidePopover();
    shortcuts();
});

// ---- The checklist of a new team: it is loaded again until the first request has arrived, for ten minutes at most.

let waits = 0;
const watch = () => {
    const waiting = find(document, "#start .waiting");
    if (!waiting || waits++ > 300) return;
    setTimeout(async () => {
        if (!waiting.isConnected) return;
        if (document.hidden || dialog.open) return watch();
        try {
            const loaded = await load(location.href);
            const fresh = loaded && find(loaded.page, "#start");
            if (!fresh || !find(fresh, ".waiting")) {
                find(document, "#start").replaceWith(...(fresh ? [fresh] : []));
                enhance(document);
                say("The first request has arrived");
            }
        } catch {
            // The next look may succeed.
        }
        watch();
    }, 2000);
};

// ---- The receipt of a revocation: it is loaded again until every node has confirmed it, for a minute at most.

let receiptLoads = 0;
const followReceipt = () => {
    const parts = all(document, "[data-receipt]");
    if (parts[0]?.dataset.receipt !== "waiting" || receiptLoads++ > 60) return;
    setTimeout(async () => {
        if (!parts[0].isConnected) return;
        if (document.hidden || dialog.open) return followReceipt();
        try {
            const loaded = await load(location.href);
            const fresh = loaded ? all(loaded.page, "[data-receipt]") : [];
            if (fresh.length !== parts.length) return;
            fresh.forEach((part, index) => parts[index].replaceWith(part));
            if (fresh[0].dataset.receipt === "complete") say(fresh[0].textContent);
        } catch {
            // The next load may succeed.
        }
        followReceipt();
    }, 1000);
};

// ---- What new content needs.

const enhance = (root) => {
    for (const button of all(root, "[data-copy], [data-unmask], [data-shortcuts], [data-scripted]")) button.hidden = false;
    for (const button of all(root, "[data-share]")) button.hidden = !navigator.share;
    for (const token of all(root, "[data-mask]")) token.classList.add("masked");
    for (const node of all(root, ".toast:not([data-timed])")) {
        node.dataset.timed = "";
        toast(node);
    }
    localize(root);
    if (root === document) {
        watch();
        followReceipt();
    }
    for (const field of all(root, "input[data-peek]:not([data-peeks])")) {
        field.dataset.peeks = "";
        const button = document.createElement("button");
        button.type = "button";
        button.className = "button quiet low";
        button.textContent = "Show";
        const name = find(root, `label[for="${field.id}"]`)?.textContent ?? "value";
        button.setAttribute("aria-label", `Show ${name.toLowerCase()}`);
        button.setAttribute("aria-pressed", "false");
        button.addEventListener("click", () => {
            const shown = field.type === "text";
            field.type = shown ? "password" : "text";
            button.textContent = shown ? "Show" : "Hide";
            button.setAttribute("aria-pressed", String(!shown));
        });
        const around = document.createElement("span");
        around.className = "inside";
        field.replaceWith(around);
        around.append(field, button);
        if (field.autofocus && !dialog.open) field.focus();
    }
};
enhance(document);
if (here.searchParams.has("done")) {
    for (const name of REPORTED) here.searchParams.delete(name);
    history.replaceState(null, "", here);
}
// As a page of its own, a dialog starts at its top too: the browser would scroll to the button that has the focus.
const harmless = find(document, ".sheet-foot [autofocus]");
if (harmless) {
    harmless.focus({ preventScroll: true });
    scrollTo(0, 0);
}
// After signing in the focus is on the heading of the first page.
if (/\/(sign-in|link\/[^/]*)$/.test(document.referrer.replace(/\?.*/, ""))) find(document, "main h1")?.focus();
