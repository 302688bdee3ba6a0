// What pages gain where JavaScript runs: dialogs in place of pages, changes in place of reloads, copying. Everything works
// without it: links lead to pages, forms are sent, and what is done here is only done sooner.

const here = new URL(location.href);
const find = (root, selector) => root.querySelector(selector);
const all = (root, selector) => [...root.querySelectorAll(selector)];

// Said to those who listen rather than look.
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

const focusIn = (root) => {
    const wrong = find(root, "[aria-invalid]");
    const first = wrong ?? find(root, "[autofocus]") ?? find(root, "h1");
    first?.focus();
    if (wrong?.select && wrong.type !== "radio") wrong.select();
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

// However the dialog is left (browsers let Escape, pressed twice, pass every guard), what it held is gone, and a list that
// changed meanwhile is fetched anew.
dialog.addEventListener("close", async () => {
    const list = find(dialog, "[data-list]")?.dataset.list;
    // Emptied already: another page has taken over.
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

// The page at an address, or null where another page has to take over. What is no page of ours (a proxy's error, say) and
// what failed on our side is an error: nothing is known of what was done.
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

// Puts another page in place of this one, without its side effects on scrolling and focus.
const replace = ({ page, url }) => {
    for (const selector of ["main", "#nav"]) {
        const [old, fresh] = [find(document, selector), find(page, selector)];
        if (old && fresh) old.replaceChildren(...fresh.childNodes);
    }
    document.title = page.title;
    const address = new URL(url);
    const about = address.searchParams.get("key");
    address.searchParams.delete("done");
    if (address.pathname.endsWith("/api-keys")) address.searchParams.delete("key");
    history.replaceState(null, "", address);
    enhance(document);
    const done = find(document, ".done");
    if (done) say(done.textContent);
    const row = about && document.getElementById(about);
    const target = (row && find(row, "summary")) ?? find(document, "main h1") ?? find(document, "main");
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

document.addEventListener("submit", async (event) => {
    const form = event.target;
    // A password that was shown is one again, or browsers would offer it as a text.
    for (const field of all(form, "input[data-peek]")) field.type = "password";
    if (form.method !== "post" || form.hasAttribute("data-plain") || event.defaultPrevented) return;
    event.preventDefault();
    const button = event.submitter ?? find(form, "button");
    // A second press while the first is under way is none.
    if (form.dataset.busy) return;
    form.dataset.busy = "1";
    button?.setAttribute("aria-busy", "true");
    find(form, ".offline")?.remove();
    try {
        const body = new URLSearchParams(new FormData(form));
        const loaded = await load(form.action, { method: "POST", body });
        if (!loaded) return;
        const sheet = find(loaded.page, "[data-sheet]");
        if (sheet) {
            if (!dialog.open) opener = button;
            show(sheet);
        } else {
            dialog.close();
            dialog.replaceChildren();
            replace(loaded);
        }
    } catch {
        const note = document.createElement("p");
        note.className = "fault offline";
        note.setAttribute("role", "alert");
        note.textContent = "Keyhouse can’t be reached or can’t answer. What you typed is still here: try again.";
        form.append(note);
        button?.focus();
    } finally {
        delete form.dataset.busy;
        button?.removeAttribute("aria-busy");
    }
});

// ---- Secrets.

const wipe = (root) => {
    for (const secret of all(root, "[data-secret]")) secret.textContent = "Shown once; it is gone from this page.";
};

// Whatever comes back from the browser's memory shows no secret and nothing that has changed since.
addEventListener("pagehide", () => {
    wipe(document);
    for (const field of all(document, "input[type=password], input[data-peek]")) field.value = "";
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

// The clipboard where the browser gives one (https, localhost), the selection elsewhere, the reader's own hands at last.
const copy = async (node) => {
    try {
        await navigator.clipboard.writeText(node.textContent);
        return true;
    } catch {
        select(node);
        node.focus();
        return document.execCommand("copy");
    }
};

document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) {
        const node = find(button.parentElement, "[data-copied]");
        const what = button.dataset.copy || "text";
        button.style.minInlineSize = `${button.offsetWidth}px`;
        button.dataset.label ??= button.innerHTML;
        const back = () => (button.innerHTML = button.dataset.label);
        if (await copy(node)) {
            const reveal = button.closest("[data-reveal]");
            if (reveal) reveal.dataset.copied = "copied";
            button.textContent = "✓ Copied";
            say(`Copied the ${what}`);
            button.focus();
            setTimeout(back, 2000);
        } else {
            select(node);
            node.focus();
            say("Press Ctrl+C to copy");
            button.textContent = "Press Ctrl+C";
            setTimeout(back, 6000);
        }
        return;
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

// Whoever copies by hand has copied too.
document.addEventListener("copy", () => {
    const reveal = find(dialog, "[data-reveal]");
    if (reveal?.contains(getSelection().anchorNode)) reveal.dataset.copied = "copied";
});

document.addEventListener("focusin", (event) => {
    if (event.target.matches("code[data-secret]")) select(event.target);
});

// ---- Menus: arrows move, letters jump, Escape closes and goes back.

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
        items.find((item) => item.textContent.toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
    }
});

document.addEventListener("click", (event) => {
    for (const menu of all(document, "details.menu[open], details.switch[open]")) {
        if (!menu.contains(event.target)) menu.open = false;
    }
});

// ---- What new content needs.

const enhance = (root) => {
    for (const button of all(root, "[data-copy]")) button.hidden = false;
    for (const field of all(root, "input[data-peek]:not([data-peeks])")) {
        field.dataset.peeks = "";
        const button = document.createElement("button");
        button.type = "button";
        button.className = "button small peek";
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
        around.className = "peeked";
        field.replaceWith(around);
        around.append(field, button);
        if (field.autofocus && !dialog.open) field.focus();
    }
};
enhance(document);
if (here.searchParams.has("done")) {
    here.searchParams.delete("done");
    history.replaceState(null, "", here);
}
