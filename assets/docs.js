// The docs with JavaScript: Copy buttons, languages without a reload, the current section, `/` for the search, and Try it.
// Without it every page reads the same; only Copy and Try it are hidden.

const all = (root, selector) => [...root.querySelectorAll(selector)];

const status = document.createElement("p");
status.className = "unseen";
status.setAttribute("role", "status");
document.body.append(status);

// ---- Copy.

const copied = async (button) => {
    const text = button.closest(".code").querySelector("pre").textContent;
    try {
        await navigator.clipboard.writeText(text);
        status.textContent = "Copied";
        const use = button.querySelector("use");
        const icon = use.getAttribute("href");
        use.setAttribute("href", icon.replace(/#.*/, "#check"));
        setTimeout(() => {
            use.setAttribute("href", icon);
            status.textContent = "";
        }, 2000);
    } catch {
        // Without the clipboard (plain HTTP) the text is selected for Ctrl+C.
        getSelection().selectAllChildren(button.closest(".code").querySelector("pre"));
        status.textContent = "Press Ctrl+C to copy";
    }
};

// ---- Languages: the server renders the page in the chosen one and keeps the choice in a cookie.

const change = async (tab) => {
    const example = tab.closest(".code");
    const top = example.getBoundingClientRect().top;
    try {
        const response = await fetch(tab.href);
        const page = new DOMParser().parseFromString(await response.text(), "text/html");
        for (const fresh of all(page, ".code[id]")) document.getElementById(fresh.id)?.replaceWith(fresh);
    } catch {
        location.assign(tab.href);
        return;
    }
    enhance(document);
    const now = document.getElementById(example.id);
    scrollBy(0, now.getBoundingClientRect().top - top);
    now.querySelector(".tabs [aria-current]").focus({ preventScroll: true });
};

document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copied(button);
    const tab = event.target.closest(".tabs a");
    if (tab && !event.button && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
        event.preventDefault();
        change(tab);
    }
});

// ---- Try it. The token is in the fields alone: not in storage, and not in a URL.

const send = async (form) => {
    const [method, path] = form.parentElement.dataset.try.split(" ");
    const token = form.querySelector("[data-token]").value.trim();
    for (const field of all(document, "[data-token]")) field.value = token;
    const url = new URL(path, location.href);
    for (const field of all(form, "[data-path]")) {
        url.pathname = path.replace(`{${field.dataset.path}}`, encodeURIComponent(field.value.trim()));
    }
    for (const field of all(form, "[data-query]")) {
        if (field.value.trim()) url.searchParams.set(field.dataset.query, field.value.trim());
    }
    const headers = { Authorization: `Bearer ${token}`, Accept: "application/json" };
    const body = form.querySelector("[data-body]")?.value;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const button = form.querySelector("button");
    const output = form.querySelector("[data-response]");
    const [title, text] = [output.querySelector(".code-head span"), output.querySelector("pre")];
    button.setAttribute("aria-busy", "true");
    try {
        const began = performance.now();
        const response = await fetch(url, { method, headers, body, credentials: "omit" });
        const answer = await response.text();
        title.textContent = `${response.status} ${response.statusText} · ${Math.round(performance.now() - began)} ms`;
        try {
            text.textContent = JSON.stringify(JSON.parse(answer), null, 2);
        } catch {
            text.textContent = answer;
        }
    } catch {
        title.textContent = "No response";
        text.textContent = "The server can’t be reached. Try again.";
    }
    output.hidden = false;
    button.removeAttribute("aria-busy");
};

document.addEventListener("submit", (event) => {
    if (!event.target.closest("[data-try]")) return;
    event.preventDefault();
    send(event.target);
});

// ---- For a person who is signed in: the prefix of a test key in the examples, and a test key made on the spot for Try it.

const fillTokens = (token) => {
    for (const field of all(document, "[data-token]")) field.value = token;
};

const fillPrefix = (prefix) => {
    const walker = document.createTreeWalker(document.getElementById("main"), NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const node = walker.currentNode;
        if (node.data.includes("pk_test_...")) node.data = node.data.replaceAll("pk_test_...", prefix);
    }
    for (const field of all(document, "[data-token]")) field.placeholder = prefix;
};

// The same form as on the keys page, with its id and its owner. The token is in the response alone.
const createKey = async (button, keys) => {
    const note = button.parentElement.querySelector("[data-note]");
    button.setAttribute("aria-busy", "true");
    try {
        const page = async (response) => new DOMParser().parseFromString(await (await response).text(), "text/html");
        const form = await page(fetch(`${keys}/new`));
        const name = "API reference";
        const fields = { name, same_name: name, mode: "test", scope: "read_write" };
        for (const field of ["for", "id"]) fields[field] = form.querySelector(`main input[name="${field}"]`).value;
        const created = await page(fetch(`${keys}/new`, { method: "POST", body: new URLSearchParams(fields) }));
        fillTokens(created.querySelector("[data-secret]").textContent.trim());
        note.textContent = `Created the test key “${name}”. Its token is filled in until you leave this page.`;
    } catch {
        note.textContent = "No key was created. Create one on the API Keys page and paste its token.";
    }
    button.removeAttribute("aria-busy");
};

const fillContext = async () => {
    try {
        const context = await (await fetch("/account/docs")).json();
        if (context.prefix) fillPrefix(context.prefix);
        if (!context.keys) return;
        for (const button of all(document, "[data-make-key]")) {
            button.hidden = false;
            button.addEventListener("click", () => createKey(button, context.keys));
        }
    } catch {
        // The placeholders stay.
    }
};
fillContext();

// What the browser keeps of this page for Back holds no token.
addEventListener("pagehide", () => {
    for (const field of all(document, "[data-token]")) field.value = "";
});

// ---- Keys and the current section.

document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, textarea, select")) return;
    event.preventDefault();
    const menu = document.getElementById("nav");
    if (!document.getElementById("q").offsetParent) menu.showPopover();
    document.getElementById("q").focus();
});

const links = all(document, ".contents a");
const headings = links.map((link) => document.getElementById(link.hash.slice(1)));
const mark = () => {
    const passed = headings.filter((heading) => heading.getBoundingClientRect().top < innerHeight / 3).length;
    links.forEach((link, n) => (n === Math.max(0, passed - 1) ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
};
if (links.length) {
    document.addEventListener("scroll", mark, { passive: true });
    mark();
}

const enhance = (root) => {
    for (const hidden of all(root, "[data-copy][hidden], [data-try][hidden]")) hidden.hidden = false;
};
enhance(document);
