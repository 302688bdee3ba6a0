// Progressive enhancement: dialogs instead of pages, updates instead of reloads, copy buttons. Everything works without
// JavaScript as well.

const here = new URL(location.href);
const find = (root, selector) => root.querySelector(selector);
const all = (root, selector) => [...root.querySelectorAll(selector)];

// Announced by screen readers.
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
    // A password that is shown as text would be offered for autofill as text.
    for (const field of all(form, "input[data-peek]")) field.type = "password";
    if (form.method !== "post" || form.hasAttribute("data-plain") || event.defaultPrevented) return;
    event.preventDefault();
    const button = event.submitter ?? find(form, "button");
    // Ignore a second press while the first is in progress.
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

// An error disappears when its field is changed.
document.addEventListener("input", (event) => {
    const field = event.target.closest("[aria-invalid]");
    if (!field) return;
    field.removeAttribute("aria-invalid");
    const described = (field.getAttribute("aria-describedby") ?? "").split(" ");
    for (const id of described.filter((id) => id.endsWith("fault"))) document.getElementById(id)?.remove();
    const rest = described.filter((id) => !id.endsWith("fault")).join(" ");
    if (rest) field.setAttribute("aria-describedby", rest);
    else field.removeAttribute("aria-describedby");
});

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

// Copying by hand counts as well.
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
        // The next item with this letter, after the current one and around.
        const ahead = [...items.slice(at + 1), ...items.slice(0, at + 1)];
        ahead.find((item) => item.textContent.toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
    }
});

// Leaving a menu with Tab closes it.
document.addEventListener("focusout", (event) => {
    const menu = event.target.closest("details.menu");
    if (menu && event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
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
